"""The share of turned ratings, against the likelihood and against shares that were turned."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from coldstart.data.episodes import Episodes, Support
from coldstart.data.units import Unit
from coldstart.evaluation.turned import Turned, estimate, turned_share

from .conftest import Fixed

B, Q, N = 300, 12, 200
POINTS = Unit(3.0, 2.0)


def episodes(share: float, likes: bool = False, seed: int = 0) -> tuple[Fixed, Episodes, Tensor]:
    """Users whose ratings are what the method predicts with noise of variance .5, some turned."""
    draw = torch.Generator().manual_seed(seed)
    scores_N = 3 + 1.2 * torch.randn(N, generator=draw)
    items_BQ = torch.randint(1, N, (B, Q), generator=draw)
    ratings_BQ = scores_N[items_BQ] + 0.5**0.5 * torch.randn(B, Q, generator=draw)
    if likes:
        scores_N = torch.sigmoid(2 * (scores_N - 3))
        ratings_BQ = torch.bernoulli(scores_N[items_BQ], generator=draw)
    turned_BQ = torch.rand(B, Q, generator=draw) < share
    ratings_BQ = torch.where(turned_BQ, (1.0 if likes else 6.0) - ratings_BQ, ratings_BQ)
    none = torch.zeros(B, 0)
    support = Support(none.long(), none, none.bool(), none, torch.zeros(B).long())
    unit = Unit() if likes else POINTS
    method = Fixed(scores_N if likes else unit.inside(scores_N))
    found = Episodes(
        support, items_BQ, unit.inside(ratings_BQ), torch.ones(B, Q).bool(), torch.arange(B)
    )
    return method, found, ratings_BQ


def found(share: float, **changes: Any) -> Turned:
    method, those, _ = episodes(share, **changes)
    if changes.get("likes"):
        return turned_share(method, those, Unit(), None)
    return turned_share(method, those, POINTS, (1.0, 5.0), variance=0.5)


@pytest.mark.parametrize("likes", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_it_finds_the_share_that_was_turned(share: float, likes: bool) -> None:
    seen = [found(share, likes=likes, seed=seed) for seed in range(20)]
    shares = torch.tensor([one.share for one in seen])
    errors = torch.tensor([one.error for one in seen])
    assert float(shares.mean()) == pytest.approx(share, abs=0.006)
    if share:  # at 0 half of the estimates are cut off
        assert float(shares.std()) == pytest.approx(float(errors.mean()), rel=0.5)


def test_it_is_where_the_likelihood_is_largest() -> None:
    draw = torch.Generator().manual_seed(1)
    ratio_BQ = torch.randn(40, 5, generator=draw) * 2 - 1
    share = estimate(ratio_BQ, torch.ones(40, 5).bool(), 1.0).share

    def likelihood(e: float) -> float:
        return float((1 - e + e * ratio_BQ.double().exp()).log().sum())

    assert 0 < share < 1
    assert likelihood(share) > max(likelihood(share - 0.01), likelihood(share + 0.01))


def test_padding_says_nothing_and_users_are_counted() -> None:
    ratio_BQ = torch.tensor([[1.0, -1.0, 9.0], [0.5, -2.0, 9.0], [9.0, 9.0, 9.0]])
    mask_BQ = torch.tensor([[True, True, False], [True, True, False], [False] * 3])
    whole = estimate(ratio_BQ, mask_BQ, 1.0)
    assert whole.n_users == 2
    assert whole.share == estimate(ratio_BQ[:2, :2], mask_BQ[:2, :2], 1.0).share


def test_the_middle_of_the_scale_is_its_own_mirror_image() -> None:
    method, those, _ = episodes(0.0)
    middle = those._replace(targets_BQ=torch.zeros_like(those.targets_BQ))  # 3 of 1 to 5
    seen = turned_share(method, middle, POINTS, (1.0, 5.0), variance=0.5)
    assert (seen.share, seen.error) == (0.0, float("inf"))


def test_the_variance_is_that_of_users_unless_it_is_given() -> None:
    method, those, _ = episodes(0.0)
    assert turned_share(method, those, POINTS, (1.0, 5.0)).variance == pytest.approx(0.5, rel=0.05)
