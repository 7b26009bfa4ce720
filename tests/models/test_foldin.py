"""Expectations over uncertain items against draws of them, and against plain sums."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from coldstart.models.foldin import Items, cross_moment, evidence, own_variance, second_moment

B, S, D = 3, 4, 3


def _normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.fixture
def items() -> Items:
    x = _normal(B, S, D, seed=0)
    x[..., 0] = 1
    root = 0.4 * _normal(B, S, D, D, seed=1)
    return Items(x, _normal(B, S, seed=2), root @ root.mT)


@pytest.fixture
def draws(items: Items) -> Items:
    """200,000 draws of every item as a first dimension."""
    assert items.covariance is not None
    noise = _normal(200_000, B, S, D, seed=3)
    step = (torch.linalg.cholesky(items.covariance) @ noise[..., None])[..., 0]
    x = items.x + torch.cat([torch.zeros_like(step[..., :1]), step[..., 1:]], -1)
    return Items(x, items.offset + step[..., 0], None)


def test_moments_equal_the_mean_over_draws(items: Items, draws: Items) -> None:
    close = {"rtol": 0.0, "atol": 0.02}
    torch.testing.assert_close(second_moment(items), second_moment(draws).mean(0), **close)
    torch.testing.assert_close(cross_moment(items), cross_moment(draws).mean(0), **close)


def test_evidence_is_the_weighted_sum_of_moments(items: Items) -> None:
    y_BS, weight_BS = _normal(B, S, seed=4), _normal(B, S, seed=5).abs()
    weight_BS[0] = 0
    gram, right = evidence(items, y_BS, weight_BS)
    weight = weight_BS[..., None]
    torch.testing.assert_close(gram, (second_moment(items) * weight[..., None]).sum(1))
    torch.testing.assert_close(
        right, ((y_BS[..., None] * items.x - cross_moment(items)) * weight).sum(1)
    )
    assert torch.equal(gram[0], torch.zeros(D, D).double())


def test_without_uncertainty_it_is_least_squares(items: Items) -> None:
    y_BS = _normal(B, S, seed=4)
    gram, right = evidence(items._replace(covariance=None), y_BS, torch.ones_like(y_BS))
    solved = torch.linalg.solve(gram, right)
    rest = (y_BS - items.offset)[..., None]
    torch.testing.assert_close(solved, torch.linalg.lstsq(items.x, rest).solution[..., 0])


def test_own_variance_equals_the_variance_over_draws(items: Items, draws: Items) -> None:
    mean_BD = _normal(B, D, seed=6)
    root = 0.5 * _normal(B, D, D, seed=7)
    weights = mean_BD + (root @ _normal(200_000, B, D, 1, seed=8))[..., 0]
    scores = draws.offset + (draws.x @ weights[..., None])[..., 0]
    of_weights = (items.x @ root).square().sum(-1)
    expected = scores.var(0) - of_weights
    actual = own_variance(items, mean_BD, root @ root.mT)
    torch.testing.assert_close(actual, expected, rtol=0.03, atol=0.03)
    certain = own_variance(items._replace(covariance=None), mean_BD, root @ root.mT)
    assert not certain.any()
