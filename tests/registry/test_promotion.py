"""The switch of the champion: atomic, serialised, safe to retry, never on stale grounds."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from coldstart.errors import GateError, ServiceError
from coldstart.registry import promotion
from coldstart.registry.decision import Decision
from coldstart.registry.promotion import CHALLENGER, CHAMPION, PREVIOUS
from registry.decisions import MODEL, decision, registered


@pytest.fixture
def served(client: Any) -> Any:
    """A registry in which version 1 is the champion."""
    first = decision("a", None)
    registered(client, first)
    promotion.promote(client, first)
    return client


def test_a_challenger_becomes_champion_and_the_champion_steps_back(served: Any) -> None:
    made = decision("b", "1")
    assert registered(served, made) == "2"
    assert promotion.aliases(served, MODEL) == {CHAMPION: "1", CHALLENGER: "2"}
    assert promotion.promote(served, made).version == "2"
    assert promotion.aliases(served, MODEL) == {CHAMPION: "2", PREVIOUS: "1"}


def test_every_step_again_changes_nothing(served: Any) -> None:
    made = decision("b", "1")
    assert registered(served, made) == registered(served, made) == "2"
    first, second = promotion.promote(served, made), promotion.promote(served, made)
    assert first.version == second.version == registered(served, made) == "2"
    assert promotion.aliases(served, MODEL) == {CHAMPION: "2", PREVIOUS: "1"}


def test_a_stale_decision_is_refused(served: Any) -> None:
    first, second = decision("b", "1"), decision("c", "1")
    registered(served, first)
    registered(served, second)
    promotion.promote(served, first)
    with pytest.raises(GateError, match=r"against champion 1, the champion is now 2; run the gate"):
        promotion.promote(served, second)
    assert promotion.aliases(served, MODEL)[CHAMPION] == "2"


def test_of_two_promotions_at_once_one_wins(served: Any) -> None:
    made = [decision("b", "1"), decision("c", "1")]
    for one in made:
        registered(served, one)
    ready, outcomes = threading.Barrier(2), []

    def run(one: dict[str, Any]) -> None:
        ready.wait()
        try:
            outcomes.append(promotion.promote(served, one).version)
        except GateError:
            outcomes.append("refused")

    threads = [threading.Thread(target=run, args=(one,)) for one in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winner = promotion.aliases(served, MODEL)[CHAMPION]
    assert sorted(outcomes) == sorted([winner, "refused"])


@pytest.mark.parametrize(("age", "blocks"), [(5, True), (3600, False)])
def test_a_claim_of_another_host_blocks_until_it_is_old(
    served: Any, age: int, blocks: bool
) -> None:
    made = decision("b", "1")
    registered(served, made)
    claim = f"{int(time.time()) - age} promotion of version 9"
    served.set_registered_model_tag(MODEL, "coldstart.claim.elsewhere", claim)
    if blocks:
        with pytest.raises(ServiceError, match="a promotion of version 9 is under way on another"):
            promotion.promote(served, made)
        with pytest.raises(ServiceError, match="a promotion of version 9 is under way on another"):
            promotion.rollback(served, MODEL, "2")
        assert promotion.aliases(served, MODEL)[CHAMPION] == "1"
        served.delete_registered_model_tag(MODEL, "coldstart.claim.elsewhere")
    promotion.promote(served, made)
    claims = [tag for tag in served.get_registered_model(MODEL).tags if "claim" in tag]
    assert claims == ([] if blocks else ["coldstart.claim.elsewhere"])


def test_a_refused_candidate_cannot_be_promoted(served: Any) -> None:
    with pytest.raises(GateError, match="decided against this candidate: it is worse"):
        promotion.promote(served, decision("b", "1", promote=False))


def test_a_decision_without_a_version_is_refused(served: Any) -> None:
    with pytest.raises(GateError, match="run the gate again"):
        promotion.promote(served, decision("b", "1"))


def test_rollback_returns_to_the_previous_champion(served: Any) -> None:
    made = decision("b", "1")
    registered(served, made)
    promotion.promote(served, made)
    assert promotion.rollback(served, MODEL).version == "1"
    assert promotion.aliases(served, MODEL) == {CHAMPION: "1"}
    tags = [served.get_model_version(MODEL, version).tags for version in "12"]
    assert ["coldstart.rolled_back" in tag for tag in tags] == [False, True]
    with pytest.raises(GateError, match="no previous champion"):
        promotion.rollback(served, MODEL)
    with pytest.raises(GateError, match="rollback --to 2"):  # the bad one does not come back alone
        promotion.promote(served, made)
    assert promotion.rollback(served, MODEL, "2").version == "2"


def test_rollback_to_nowhere(served: Any) -> None:
    with pytest.raises(GateError, match="has no version 7; versions: 1"):
        promotion.rollback(served, MODEL, "7")


def test_nothing_registered(client: Any) -> None:
    assert promotion.champion(client, MODEL) is None
    with pytest.raises(GateError, match=r"no champion yet.* promote --decision decision\.json"):
        promotion.require_champion(client, MODEL)


def test_a_file_that_is_no_decision(tmp_path: Path) -> None:
    (tmp_path / "decision.json").write_text('{"promote": true}')
    with pytest.raises(GateError, match="not a decision"):
        Decision.read(tmp_path / "decision.json")


def test_a_decision_travels_without_its_evidence(tmp_path: Path) -> None:
    made = decision("b", "1").model_copy(update={"evidence": {"much": [1, 2]}})
    (tmp_path / "decision.json").write_text(made.travelling())
    read = Decision.read(tmp_path / "decision.json")
    assert read == made.model_copy(update={"evidence": {}})
    assert read.key == made.key
    seen = json.loads(made.travelling())  # as a DAG and `coldstart run` read it
    assert seen["summary"] == "challenge: promote: bayes_head against popularity: it is better"
    assert seen["champion"]["version"] == "1"
    assert (seen["promote"], seen["reasons"]) == (True, [])
