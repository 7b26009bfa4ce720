"""EASE against the regression that defines it, one item at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from coldstart.baselines._offsets import BiasParams
from coldstart.baselines.bias import Bias
from coldstart.baselines.ease import Ease, EaseParams, ease_weights
from coldstart.data.episodes import Episodes
from coldstart.data.prepared import Prepared
from coldstart.models.backbone import Backbone

BIAS = {"item_damping": 3.0, "user_damping": 5.0, "attribute_penalty": 60.0}


@pytest.fixture(scope="module")
def validation(prepared: Prepared) -> Episodes:
    return prepared.eval_episodes(0, "validation")


@pytest.fixture(scope="module")
def model(prepared: Prepared, validation: Episodes, backbone: Backbone) -> Ease:
    params = EaseParams(penalty=10.0, max_items=20, **BIAS)
    return Ease.fit(prepared.history(0), backbone, validation, params, 0)


@pytest.fixture(scope="module")
def bias(prepared: Prepared, validation: Episodes, backbone: Backbone) -> Bias:
    return Bias.fit(prepared.history(0), backbone, validation, BiasParams(**BIAS), 0)


def test_the_weights_are_ridge_regressions_of_each_item_on_all_others() -> None:
    x = np.random.default_rng(0).normal(size=(30, 6))
    weights = ease_weights(torch.from_numpy(x.T @ x), 2.5).numpy()
    assert np.array_equal(np.diag(weights), np.zeros(6))
    for item in range(6):
        others = np.delete(np.arange(6), item)
        gram = x[:, others].T @ x[:, others] + 2.5 * np.eye(5)
        column = np.linalg.solve(gram, x[:, others].T @ x[:, item])
        np.testing.assert_allclose(weights[others, item], column, rtol=1e-9)


def test_residuals_are_pushed_through_the_weights(model: Ease, validation: Episodes) -> None:
    """One user, by loops; the model's own weights, unknown items included."""
    support = validation.support.rows(slice(0, 1))
    row = model.row_N.tolist()
    offset, rest = model.residuals(support)
    expected = model.item_N.double().numpy() + float(offset)
    for i in range(model.n_items):
        for item, residual in zip(support.items_BS[0].tolist(), rest[0].tolist(), strict=True):
            expected[i] += residual * float(model.weights_MM[row[item], row[i]])
    found = model.score_catalogue(model.adapt(support)).mean[0]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_only_the_most_rated_items_have_weights(
    prepared: Prepared, model: Ease, bias: Bias, validation: Episodes
) -> None:
    history = prepared.history(0)
    count_N = torch.bincount(history.items_R, minlength=history.n_items)
    inside = model.row_N > 0
    assert int(inside.sum()) == 20
    assert count_N[inside].min() >= count_N[~inside].max()
    here = model.score_catalogue(model.adapt(validation.support)).mean
    there = bias.score_catalogue(bias.adapt(validation.support)).mean
    assert torch.equal(here[:, ~inside], there[:, ~inside])
    assert (here[:, inside] - there[:, inside]).abs().max() > 0.05


def test_the_gain_is_the_least_squares_one(model: Ease, validation: Episodes) -> None:
    """After it, what is left has nothing in common with the push."""
    common, scale = 0.0, 0.0
    for k in range(1, validation.support.items_BS.shape[1] + 1):
        state = model.adapt(validation.support.first(k))
        push = state["push_BM"].gather(1, model.row_N[validation.items_BQ])
        left = validation.targets_BQ - model.score(state, validation.items_BQ).mean
        common += float((push * left).sum())
        scale += float((push * left).abs().sum())
    assert abs(common) < 1e-4 * scale
