"""Promotions and rollbacks that die at any call: what is served is whole, and nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest

from coldstart.errors import GateError
from coldstart.registry import promotion
from coldstart.registry.promotion import CHAMPION, PREVIOUS
from registry.decisions import MODEL, decision, registered

CALLS = range(8)
"""One more than the changes that a promotion or a rollback makes."""
MUTATIONS = ("set_", "delete_")


class KilledError(BaseException):
    """kill -9: nothing of ours runs after it."""


class Dying:
    """A client whose process is killed at the n-th change, before or after the server made it."""

    def __init__(self, client: Any, n: int, *, after: bool) -> None:
        self._client, self._left, self._after = client, n, after

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        if not name.startswith(MUTATIONS):
            return call

        def counted(*arguments: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == -1 and self._after:
                call(*arguments, **named)
            if self._left < 0:
                raise KilledError
            return call(*arguments, **named)

        return counted


@pytest.fixture
def third(client: Any) -> Any:
    """A registry in which version 2 has replaced version 1, and version 3 is the challenger."""
    for sha, against in (("a", None), ("b", "1")):
        made = decision(sha, against)
        registered(client, made)
        promotion.promote(client, made)
    registered(client, decision("c", "2"))
    return client


def dies(act: Any) -> bool:
    try:
        act()
    except KilledError:
        return True
    return False


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("n", CALLS)
def test_a_promotion_that_dies_is_completed_by_its_retry(third: Any, n: int, after: bool) -> None:
    died = dies(lambda: promotion.promote(Dying(third, n, after=after), decision("c", "2")))
    assert died == (n < CALLS[-1])
    assert promotion.aliases(third, MODEL)[CHAMPION] in (("2", "3") if died else ("3",))
    promotion.promote(third, decision("c", "2"))
    assert promotion.aliases(third, MODEL) == {CHAMPION: "3", PREVIOUS: "2"}
    assert [tag for tag in third.get_registered_model(MODEL).tags if "claim" in tag] == []


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("n", CALLS)
def test_a_promotion_that_dies_is_rolled_back_to_the_real_previous_champion(
    third: Any, n: int, after: bool
) -> None:
    dies(lambda: promotion.promote(Dying(third, n, after=after), decision("c", "2")))
    served = promotion.aliases(third, MODEL)[CHAMPION]
    back = promotion.rollback(third, MODEL).version
    assert back == {"2": "1", "3": "2"}[served]
    assert promotion.aliases(third, MODEL)[CHAMPION] == back
    assert PREVIOUS not in promotion.aliases(third, MODEL)
    tags = third.get_model_version(MODEL, served).tags
    assert tags["coldstart.rolled_back"] == "true"
    with pytest.raises(GateError):  # the retry that comes late does not undo the rollback
        promotion.promote(third, decision("c", "2"))
    assert promotion.aliases(third, MODEL)[CHAMPION] == back


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("n", CALLS)
def test_a_rollback_that_dies_is_completed_by_its_retry(third: Any, n: int, after: bool) -> None:
    promotion.promote(third, decision("c", "2"))
    died = dies(lambda: promotion.rollback(Dying(third, n, after=after), MODEL))
    assert promotion.aliases(third, MODEL)[CHAMPION] in (("2", "3") if died else ("2",))
    if died and promotion.aliases(third, MODEL).get(PREVIOUS) is not None:
        assert promotion.rollback(third, MODEL).version == "2"
    assert promotion.aliases(third, MODEL) == {CHAMPION: "2"}
    with pytest.raises(GateError, match="no previous champion"):
        promotion.rollback(third, MODEL)
