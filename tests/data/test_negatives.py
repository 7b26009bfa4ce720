"""Sampled negatives: who gets how many, of what, and how often."""

from __future__ import annotations

import pytest
import torch

from coldstart.data.episodes import Episodes, History, Support
from coldstart.data.negatives import Negatives
from coldstart.params import NegativesParams

N = 8
RATED = {
    0: [1, 2, 3],
    1: [1, 2],
    2: [1],
}  # item 1 by three users, 2 by two, 3 by one, others by none


def _history() -> History:
    pairs = torch.tensor([(user, item) for user, items in RATED.items() for item in items])
    return History(
        users_R=pairs[:, 0],
        items_R=pairs[:, 1],
        targets_R=torch.ones(len(pairs)),
        n_users=4,
        n_items=N,
        user_features_UF=torch.zeros(4, 0),
        item_features_NG=torch.zeros(N, 0),
    )


def _episodes() -> Episodes:
    """User 0 with two likes, user 1 with one, user 3, of whom no history is known, with none."""
    items_BS, items_BQ = torch.tensor([[3], [0], [5]]), torch.tensor([[1, 2], [1, 2], [4, 0]])
    return Episodes(
        Support(
            items_BS,
            torch.zeros(3, 1),
            items_BS > 0,
            torch.zeros(3, 0),
            torch.zeros(3, dtype=torch.int64),
        ),
        items_BQ,
        torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]),
        items_BQ > 0,
        torch.tensor([0, 1, 3]),
    )


def _negatives(number: int, alpha: float, seed: int = 0) -> Negatives:
    params = NegativesParams(number=number, alpha=alpha)
    return Negatives(_history(), params, torch.Generator().manual_seed(seed))


def test_the_query_stays_and_unrated_items_follow() -> None:
    before, after = _episodes(), _negatives(50, 0.5).append(_episodes())
    for name in ("items_BQ", "targets_BQ", "mask_BQ"):
        assert torch.equal(getattr(after, name)[:, :2], getattr(before, name))
    assert after.draws_BQ is not None
    mask_BM, items_BM = after.mask_BQ[:, 2:], after.items_BQ[:, 2:]
    assert (after.targets_BQ[:, 2:] == 0).all()
    assert torch.equal(items_BM > 0, mask_BM)
    assert torch.equal(after.draws_BQ[:, 2:] > 0, mask_BM)
    assert set(items_BM[0][mask_BM[0]].tolist()) == {4, 5, 6, 7}
    assert set(items_BM[1][mask_BM[1]].tolist()) == {3, 4, 5, 6, 7}
    assert not mask_BM[1, 50:].any()  # one like, 50 draws at most
    assert not mask_BM[2].any()  # no like, no draw


def test_popular_items_come_more_often_and_as_often_as_is_said() -> None:
    number = 1000
    after = _negatives(number, 0.5).append(_episodes())
    assert after.draws_BQ is not None
    items_M, draws_M = after.items_BQ[1, 2:], after.draws_BQ[1, 2:]
    weight_N = torch.tensor([0.0, 4, 3, 2, 1, 1, 1, 1]).sqrt()
    expected_N = number * weight_N / weight_N.sum()
    for item in (3, 4, 7):
        drawn = items_M == item
        torch.testing.assert_close(draws_M[drawn][0], expected_N[item])
        assert int(drawn.sum()) == pytest.approx(float(expected_N[item]), rel=0.2)


def test_the_generator_is_the_whole_random_state() -> None:
    one, same = (_negatives(3, 0.75).append(_episodes()) for _ in range(2))
    other = _negatives(3, 0.75, seed=1).append(_episodes())
    assert torch.equal(one.items_BQ, same.items_BQ)
    assert not torch.equal(one.items_BQ, other.items_BQ)


def test_parts_and_what_was_rated() -> None:
    after = _negatives(3, 0.75).append(_episodes())
    part = after.rows(slice(1, 2))
    assert part.draws_BQ is not None
    assert after.draws_BQ is not None
    assert torch.equal(part.draws_BQ, after.draws_BQ[1:2])
    rated, before = after.without_negatives(), _episodes()
    assert torch.equal(rated.mask_BQ[:, :2], before.mask_BQ)
    assert not rated.mask_BQ[:, 2:].any()
    assert before.without_negatives() is before
