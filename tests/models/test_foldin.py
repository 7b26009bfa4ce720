"""Expectations over uncertain items against draws of them, and against plain sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from coldstart.data.episodes import Support
from coldstart.models.foldin import (
    FoldIn,
    Items,
    cross_moment,
    evidence,
    expected_error,
    found_in,
    known_of,
    own_variance,
    predictive,
    second_moment,
)

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
    gram, right, square = evidence(items, y_BS, weight_BS)
    weight = weight_BS[..., None]
    torch.testing.assert_close(gram, (second_moment(items) * weight[..., None]).sum(1))
    torch.testing.assert_close(
        right, ((y_BS[..., None] * items.x - cross_moment(items)) * weight).sum(1)
    )
    assert items.covariance is not None
    error_BS = (y_BS - items.offset).square() + items.covariance[..., 0, 0]
    torch.testing.assert_close(square, (weight_BS * error_BS).sum(1))
    assert torch.equal(gram[0], torch.zeros(D, D).double())


def test_without_uncertainty_it_is_least_squares(items: Items) -> None:
    y_BS = _normal(B, S, seed=4)
    gram, right, _ = evidence(items._replace(covariance=None), y_BS, torch.ones_like(y_BS))
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


@pytest.fixture
def model(items: Items) -> FoldIn:
    """Two tables of six uncertain items with noise of their own; attributes and choices count."""
    assert items.covariance is not None
    root_DD = _normal(D, D, seed=9)
    return FoldIn(
        x_CND=items.x.reshape(2, 6, D),
        offset_CN=items.offset.reshape(2, 6),
        weight_CN=0.2 + _normal(2, 6, seed=10).square(),
        precision_DD=root_DD @ root_DD.mT + torch.eye(D).double(),
        prior_CFD=_normal(2, 2, D, seed=11),
        covariance_NDD=items.covariance.reshape(2, 6, D, D)[0],
        choice_CND=_normal(2, 6, D, seed=12),
        damping=1.5,
    )


def _support(size: int, table: int = 0) -> Support:
    """The first user has no rating; what lies under the mask is no zero."""
    generator = torch.Generator().manual_seed(13)
    mask_BS = torch.ones(B, size, dtype=torch.bool)
    mask_BS[0] = False
    return Support(
        torch.randint(0, 6, (B, size), generator=generator),
        3 + _normal(B, size, seed=14),
        mask_BS,
        _normal(B, 2, seed=15),
        torch.full((B,), table),
    )


def _normal_equations(
    model: FoldIn, support: Support, user: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and covariance of a user's weights by numpy, rating by rating."""
    table = int(support.crossfit_B[user])
    rated = support.mask_BS[user]
    items, y = support.items_BS[user][rated].tolist(), support.targets_BS[user][rated].tolist()
    assert model.choice_CND is not None
    assert model.covariance_NDD is not None
    chosen = sum((model.choice_CND[table, i].numpy() for i in items), np.zeros(D))
    prior = support.users_BF[user].numpy() @ model.prior_CFD[table].numpy()
    prior = prior + chosen / (len(items) + float(model.damping))
    precision = model.precision_DD.numpy().copy()
    moment = precision @ prior
    for item, target in zip(items, y, strict=True):
        x, weight = model.x_CND[table, item].numpy(), float(model.weight_CN[table, item])
        offset, own = float(model.offset_CN[table, item]), model.covariance_NDD[item].numpy().copy()
        cross = np.concatenate([[0.0], own[0, 1:]])
        own[0] = own[:, 0] = 0
        precision += weight * (np.outer(x, x) + own)
        moment += weight * (x * (target - offset) - cross)
    return np.linalg.solve(precision, moment), np.linalg.inv(precision)


@pytest.mark.parametrize("table", [0, 1])
@pytest.mark.parametrize("size", [0, 1, D, 9])  # fewer ratings than weights, as many, more
def test_the_posterior_solves_the_normal_equations(model: FoldIn, size: int, table: int) -> None:
    support = _support(size, table)
    found = found_in(model.adapt(support))
    for user in range(B):
        mean, covariance = _normal_equations(model, support, user)
        np.testing.assert_allclose(found.mean[user], mean, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.covariance[user], covariance, rtol=1e-9, atol=1e-12)


def test_one_rating_at_a_time_equals_the_batch(model: FoldIn) -> None:
    support = _support(7)._replace(mask_BS=torch.ones(B, 7, dtype=torch.bool))
    state = model.adapt(support.first(0))
    for k in range(7):
        state = model.update(state, support.items_BS[:, k], support.targets_BS[:, k])
        batch = model.adapt(support.first(k + 1))
        assert state.keys() == batch.keys()
        for name, value in batch.items():
            torch.testing.assert_close(state[name], value)


def test_without_ratings_the_posterior_is_exactly_the_prior(model: FoldIn) -> None:
    state = model.adapt(_support(4))
    assert torch.equal(state["mean_BD"][0], state["attributes_BD"][0])
    torch.testing.assert_close(found_in(state).covariance[0], torch.linalg.inv(model.precision_DD))


def test_predictions_and_errors_are_means_over_draws_of_weights(
    model: FoldIn, items: Items
) -> None:
    support = _support(5)
    state = model.adapt(support)
    found, certain = found_in(state), model._replace(covariance_NDD=None)
    root_BDD = torch.linalg.cholesky(found.covariance)
    drawn = found.mean + (root_BDD @ _normal(200_000, B, D, 1, seed=16))[..., 0]
    query = items._replace(covariance=None)
    scores = query.offset + (query.x @ drawn[..., None])[..., 0]
    mean_BQ, variance_BQ = predictive(query, found)
    torch.testing.assert_close(mean_BQ, scores.mean(0), rtol=0.02, atol=0.02)
    torch.testing.assert_close(variance_BQ, scores.var(0), rtol=0.03, atol=0.01)
    own_BQ = own_variance(items, found.mean, found.covariance)
    torch.testing.assert_close(predictive(items, found)[1], variance_BQ + own_BQ)
    state = certain.adapt(support)
    of_support = certain.items(support.items_BS, support.crossfit_B[:, None])
    missed = support.targets_BS - of_support.offset - (of_support.x @ drawn[..., None])[..., 0]
    weight_BS = support.mask_BS * model.weight_CN[0][support.items_BS]
    torch.testing.assert_close(
        expected_error(known_of(state), found),
        (weight_BS * missed.square()).sum(-1).mean(0),
        rtol=0.02,
        atol=0.02,
    )
