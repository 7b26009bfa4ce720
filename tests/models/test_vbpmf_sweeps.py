"""What a sweep of variational matrix factorisation reads, keeps and does in blocks."""

from __future__ import annotations

import numpy as np
import pytest

from coldstart.data.prepared import Prepared
from coldstart.models.backbones import vbpmf, vbpmf_side
from coldstart.models.backbones.vbpmf import Factorisation, _moments
from coldstart.models.blocks import blocks
from coldstart.params import VBPMFParams

PARAMS = VBPMFParams(
    factors=3,
    sweeps=4,
    side_penalty=5.0,
    audience=0,
    user_noise=True,
    relevance=True,
    crossfit=4,
)


def _swept(prepared: Prepared) -> Factorisation:
    history = prepared.history(0)
    users = np.unique(history.users_R.numpy())
    model = Factorisation.start(history, users, PARAMS, seed=1)
    for _ in range(3):
        model.sweep()
    return model


@pytest.fixture
def model(prepared: Prepared) -> Factorisation:
    return _swept(prepared)


def test_a_sweep_reads_each_side_once(
    model: Factorisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The errors at the end of a sweep and the users' step of the next need the same sums."""
    read: list[object] = []
    monkeypatch.setattr(
        vbpmf, "_moments", lambda rated, design: read.append(rated) or _moments(rated, design)
    )
    model.sweep()
    assert [rated is model.by_user for rated in read] == [False, True]


def test_what_is_kept_of_the_items_is_what_their_posteriors_say(model: Factorisation) -> None:
    """Other coordinates are other posteriors."""
    for change in (model.sweep, model.balance, model.sweep):
        change()
        anew = _moments(model.by_user, model.items.design())
        for kept, fresh in zip(model.user_moments(), anew, strict=True):
            np.testing.assert_array_equal(kept, fresh)


def test_entities_are_solved_for_in_blocks_as_they_are_at_once(
    prepared: Prepared, model: Factorisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (vbpmf, vbpmf_side):
        monkeypatch.setattr(module, "blocks", lambda n: blocks(n, 7))
    in_blocks = _swept(prepared)
    assert in_blocks.noise == pytest.approx(model.noise, rel=1e-9)
    for one, other in ((model.users, in_blocks.users), (model.items, in_blocks.items)):
        for whole, parts in zip(one.posterior, other.posterior, strict=True):
            np.testing.assert_allclose(parts, whole, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize(("n", "sizes"), [(0, []), (3, [3]), (4, [4]), (9, [4, 4, 1])])
def test_blocks_make_up_the_whole(n: int, sizes: list[int]) -> None:
    everybody = np.arange(n)
    parts = [everybody[part] for part in blocks(n, 4)]
    assert [len(part) for part in parts] == sizes
    assert np.array_equal(np.concatenate([*parts, everybody[:0]]), everybody)
