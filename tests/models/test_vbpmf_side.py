"""The prior of one side of the factorisation, from entities whose posteriors are exact."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from coldstart.models.backbones.vbpmf import _of_audiences
from coldstart.models.backbones.vbpmf_side import Gaussians, Side


def side_of(rng: np.random.Generator, map_GD: np.ndarray, n: int) -> Side:
    """Entities whose posteriors are exact, drawn around a map of their features."""
    features = np.column_stack([np.ones(n), rng.normal(size=(n, len(map_GD) - 1))])
    mean = features @ map_GD + rng.normal(size=(n, map_GD.shape[1]))
    return Side(
        posterior=Gaussians(mean, np.zeros((n, *2 * map_GD.shape[1:]))),
        features=features,
        active=np.ones(n, dtype=bool),
        prior_map=np.zeros_like(map_GD),
        prior_covariance=np.eye(map_GD.shape[1]),
        penalty=np.array([0.0] + (len(map_GD) - 1) * [5.0]),
        relevance=True,
    )


def test_a_covariance_is_unbiased_whatever_the_number_of_attributes() -> None:
    """With 30 unpenalised attributes of 60 entities, half of the variance is fitted away."""
    rng, found = np.random.default_rng(0), []
    for _ in range(200):
        side = side_of(rng, np.zeros((30, 1)), n=60)
        side.relevance, side.penalty = False, np.zeros(30)
        side.refit_prior()
        found.append(side.prior_covariance[0, 0])
    assert np.mean(found) == pytest.approx(1.0, abs=4 * np.std(found) / 200**0.5)


def test_estimated_penalties_are_where_the_evidence_is_stationary() -> None:
    """The evidence of a regression whose weights are integrated out, by finite differences."""
    rng = np.random.default_rng(0)
    map_GD = np.array([[3.0, 1.0], [1.0, -0.5], [0.3, 0.2], [0.1, 0.4]])
    side = side_of(rng, map_GD, n=40)
    for _ in range(500):
        side.refit_prior()

    def evidence(penalty: np.ndarray) -> float:
        flat = np.where(penalty == 0, 1e-4, penalty)
        among = np.eye(len(side.features)) + side.features / flat @ side.features.T
        covariance = np.kron(among, side.prior_covariance)
        return float(multivariate_normal(cov=covariance).logpdf(side.posterior.mean.ravel()))

    for g in range(1, len(map_GD)):
        step = np.zeros(len(map_GD))
        step[g] = 0.01 * side.penalty[g]
        slope = (evidence(side.penalty + step) - evidence(side.penalty - step)) / 0.02
        assert slope == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize(("entities", "attributes"), [(1, 0), (1, 2), (2, 5), (30, 0)])
def test_a_prior_of_few_entities_or_no_attributes_is_one(entities: int, attributes: int) -> None:
    side = side_of(np.random.default_rng(0), np.zeros((1 + attributes, 2)), n=entities)
    for _ in range(3):
        side.refit_prior()
    assert np.isfinite(side.prior_map).all()
    assert (np.linalg.eigvalsh(side.prior_covariance) > 0).all()


def test_an_attribute_that_says_nothing_is_left_out() -> None:
    rng = np.random.default_rng(1)
    side = side_of(rng, np.array([[3.0, 1.0], [1.0, -0.5], [0.0, 0.0]]), n=400)
    for _ in range(200):
        side.refit_prior()
    telling, silent = side.penalty[1:]
    assert telling < 5
    assert silent > 100
    assert np.abs(side.prior_map[2]).max() < 0.05
    assert side.penalty[0] == 0


def test_what_audiences_say_is_uncertain_where_nobody_rated() -> None:
    rng = np.random.default_rng(0)
    audience_NM, count_N = rng.normal(size=(6, 2)), np.array([0.0, 3, 1, 4, 1, 0])
    items = Side(
        posterior=Gaussians(np.zeros((6, 3)), np.zeros((6, 3, 3))),
        features=np.hstack([np.ones((6, 2)), audience_NM]),
        active=count_N > 0,
        prior_map=rng.normal(size=(4, 3)),
        prior_covariance=np.eye(3),
        penalty=np.zeros(4),
        relevance=False,
    )
    said = np.repeat(audience_NM @ items.prior_map[2:], count_N.astype(int), axis=0)
    expected = np.cov(said, rowvar=False, bias=True)
    np.testing.assert_allclose(_of_audiences(items, audience_NM, count_N), expected)
    assert not _of_audiences(items, audience_NM[:, :0], count_N).any()
