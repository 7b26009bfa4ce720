"""The Gaussian process against the dense normal distribution that it stands for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from coldstart.baselines._item_gram import ItemGram
from coldstart.baselines._offsets import BiasParams, fit_offsets
from coldstart.baselines.bias import Bias
from coldstart.baselines.gp import GP, GPParams, item_covariance
from coldstart.data.episodes import Episodes
from coldstart.data.prepared import Prepared
from coldstart.models.backbone import Backbone

BIAS = {"item_damping": 3.0, "user_damping": 5.0, "attribute_penalty": 60.0}
PARAMS = GPParams(rank=3, shrinkage=10.0, max_items=40, **BIAS)


@pytest.fixture(scope="module")
def validation(prepared: Prepared) -> Episodes:
    return prepared.eval_episodes(0, "validation")


@pytest.fixture(scope="module")
def model(prepared: Prepared, validation: Episodes, backbone: Backbone) -> GP:
    return GP.fit(prepared.history(0), backbone, validation, PARAMS, 0)


def test_the_posterior_is_the_dense_normal_conditional(
    prepared: Prepared, model: GP, validation: Episodes
) -> None:
    history = prepared.history(0)
    offsets = fit_offsets(history, PARAMS)
    gram = ItemGram.of(history, offsets, PARAMS.max_items)
    loadings, noise = item_covariance(gram, PARAMS.rank, PARAMS.shrinkage)
    loading_NR = np.zeros((history.n_items, PARAMS.rank))
    loading_NR[gram.items_M.numpy()] = loadings.numpy()
    covariance = noise / PARAMS.user_damping + loading_NR @ loading_NR.T

    support = validation.support.rows(slice(3, 4)).first(6)
    s, q = support.items_BS[0].numpy(), validation.items_BQ[3].numpy()
    mean = offsets.item_N.double().numpy() + float(support.users_BF[0] @ offsets.attribute_F)
    seen = covariance[np.ix_(s, s)] + noise * np.eye(6)
    cross = covariance[np.ix_(q, s)]
    rest = support.targets_BS[0].double().numpy() - mean[s]
    expected = mean[q] + cross @ np.linalg.solve(seen, rest)
    spread = np.diag(covariance[np.ix_(q, q)] - cross @ np.linalg.solve(seen, cross.T)) + noise

    found, variance = model.score(model.adapt(support), validation.items_BQ[3:4])
    assert variance is not None
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(variance[0].numpy(), spread * model.noise / noise, rtol=1e-4)


def test_the_covariance_is_found_again() -> None:
    """5000 users who rate 8 items each have covariance L L' between items and noise 0.5."""
    rng = np.random.default_rng(0)
    loading = rng.normal(0, 0.7, size=(8, 2))
    ratings = rng.normal(size=(5000, 2)) @ loading.T + rng.normal(0, 0.5**0.5, size=(5000, 8))
    gram = ItemGram(
        torch.arange(8),
        torch.from_numpy(ratings.T @ ratings),
        torch.full((8, 8), 5000.0, dtype=torch.float64),
    )
    found, noise = item_covariance(gram, 2, shrinkage=1e-6)
    off = ~np.eye(8, dtype=bool)
    truth, shared = (loading @ loading.T)[off], (found @ found.T).numpy()[off]
    assert np.corrcoef(truth, shared)[0, 1] > 0.97
    assert np.abs(truth - shared).max() < 0.25
    assert noise == pytest.approx(0.5, rel=0.35)
    shrunk, more_noise = item_covariance(gram, 2, shrinkage=5000.0)
    torch.testing.assert_close(shrunk @ shrunk.T, found @ found.T / 2)
    assert more_noise > noise


def test_unrated_and_rare_items_share_the_offset_only(
    prepared: Prepared, validation: Episodes, backbone: Backbone
) -> None:
    """With covariances shrunk away it is the baseline bias."""
    none = PARAMS.model_copy(update={"shrinkage": 1e12})
    model = GP.fit(prepared.history(0), backbone, validation, none, 0)
    bias = Bias.fit(prepared.history(0), backbone, validation, BiasParams(**BIAS), 0)
    here = model.score_catalogue(model.adapt(validation.support)).mean
    there = bias.score_catalogue(bias.adapt(validation.support)).mean
    torch.testing.assert_close(here, there, atol=1e-4, rtol=0)


def test_only_the_most_rated_items_covary(prepared: Prepared, model: GP) -> None:
    history = prepared.history(0)
    count_N = torch.bincount(history.items_R, minlength=history.n_items)
    inside = (model.features_ND[:, 1:] != 0).any(1)
    assert int(inside.sum()) == PARAMS.max_items
    assert count_N[inside].min() >= count_N[~inside].max()
