"""Variational matrix factorisation against its definition, one entity and one rating at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import gamma

from coldstart.data.prepared import Prepared
from coldstart.models.audience import audience_features
from coldstart.models.backbone import Backbone
from coldstart.models.backbones import fit_backbone
from coldstart.models.backbones.mf import constant_first
from coldstart.models.backbones.vbpmf import SHAPE, Factorisation, _moments
from coldstart.params import Params, VBPMFParams, load_params

VBPMF = VBPMFParams(
    factors=3,
    sweeps=4,
    side_penalty=5.0,
    audience=0,
    user_noise=False,
    relevance=False,
    crossfit=4,
)
OF_USERS = VBPMF.model_copy(update={"user_noise": True, "relevance": True})
KINDS = ("vbpmf", "vbpmf_audience")


@pytest.fixture(scope="module")
def params(request: pytest.FixtureRequest) -> Params:
    params = load_params(request.config.rootpath / "params.yaml")
    sections = {"vbpmf": VBPMF, "vbpmf_audience": OF_USERS.model_copy(update={"audience": 2})}
    return params.model_copy(update={"pretrain": params.pretrain.model_copy(update=sections)})


@pytest.fixture(params=[VBPMF, OF_USERS], ids=["one for all", "of users"])
def model(prepared: Prepared, request: pytest.FixtureRequest) -> Factorisation:
    history = prepared.history(0)
    users = np.unique(history.users_R.numpy())
    model = Factorisation.start(history, users, request.param, seed=1)
    for _ in range(3):
        model.sweep()
    return model


@pytest.fixture(scope="module", params=KINDS)
def backbone(prepared: Prepared, params: Params, request: pytest.FixtureRequest) -> Backbone:
    validation = prepared.eval_episodes(0, "validation")
    return fit_backbone(request.param, prepared.history(0), validation, params.pretrain, seed=0)


@pytest.mark.parametrize("user", [0, 7])
def test_a_user_step_reads_the_items_with_their_uncertainty(
    model: Factorisation, user: int
) -> None:
    moments = _moments(model.by_user, model.items.design()).times(model.exactness_U)
    posterior = model.users.solve(moments, model.noise)
    mean, covariance = model.items.posterior
    prior = np.linalg.inv(model.users.prior_covariance)
    precision, right = prior.copy(), prior @ (model.users.features[user] @ model.users.prior_map)
    for item in model.by_user.pattern[[user]].indices:
        y = model.by_user.values[user, item]
        x = np.concatenate([[1.0], mean[item, 1:]])
        own = np.pad(covariance[item, 1:, 1:], ((1, 0), (1, 0)))
        with_offset = np.concatenate([[0.0], covariance[item, 0, 1:]])
        noise = model.noise / model.exactness_U[user]
        precision += (np.outer(x, x) + own) / noise
        right += (y * x - mean[item, 0] * x - with_offset) / noise
    np.testing.assert_allclose(posterior.mean[user], np.linalg.solve(precision, right), rtol=1e-8)
    np.testing.assert_allclose(posterior.covariance[user], np.linalg.inv(precision), rtol=1e-8)


def test_the_expected_error_is_the_mean_over_draws_of_both_sides(model: Factorisation) -> None:
    rng = np.random.default_rng(0)

    def draw(mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        step = rng.normal(size=mean.shape)
        return mean + np.einsum("nde,ne->nd", np.linalg.cholesky(covariance), step)

    users, items = model.by_user.values.nonzero()
    y = np.asarray(model.by_user.values[users, items])
    errors = []
    for _ in range(2000):
        w, z = draw(*model.users.posterior), draw(*model.items.posterior)
        fitted = z[items, 0] + w[users, 0] + (w[users, 1:] * z[items, 1:]).sum(1)
        errors.append(np.bincount(users, weights=(y - fitted) ** 2))
    deviation = np.std(errors, axis=0) / np.sqrt(2000)
    assert (np.abs(model.expected_errors() - np.mean(errors, axis=0)) < 5 * deviation).all()


def test_noise_and_exactness_are_where_the_bound_is_stationary(model: Factorisation) -> None:
    """The mean of each Gamma posterior, then the weighted mean of the squared errors."""
    former = model.noise
    model._refit_noise()
    error, count = model.expected_errors(), np.diff(model.by_user.pattern.indptr)
    exactness = np.ones_like(error)
    if model.user_noise:
        exactness = np.array(
            [
                gamma(SHAPE + n / 2, scale=1 / (SHAPE + e / (2 * former))).mean()
                for n, e in zip(count, error, strict=True)
            ]
        )
    np.testing.assert_allclose(model.exactness_U, exactness)
    assert model.noise == pytest.approx((exactness * error).sum() / count.sum())


def test_an_inexact_user_says_less_about_items(model: Factorisation) -> None:
    one = np.array([0])
    before = model.item_moments(one)
    model.exactness_U = model.exactness_U / np.array([4.0] + [1.0] * (len(model.exactness_U) - 1))
    for whole, quarter in zip(before, model.item_moments(one), strict=True):
        np.testing.assert_allclose(quarter, whole / 4)


def test_the_prior_is_the_expected_moments_over_the_degrees_of_freedom(
    model: Factorisation,
) -> None:
    side = model.users
    penalty = side.penalty
    side.refit_prior()
    features, (mean, covariance) = side.features, side.posterior
    rest = mean - features @ side.prior_map
    total = sum(np.outer(r, r) + c for r, c in zip(rest, covariance, strict=True))
    hat = features @ np.linalg.solve(features.T @ features + np.diag(penalty), features.T)
    np.testing.assert_allclose(
        side.prior_covariance, total / (len(rest) - np.trace(hat)), atol=1e-5
    )


def test_only_users_have_penalties_that_are_estimated(model: Factorisation) -> None:
    given = VBPMF.side_penalty
    assert (model.items.penalty[1:] == given).all()
    estimated = model.users.penalty[1:] != given
    assert estimated.all() if model.users.relevance else not estimated.any()


def test_balancing_changes_no_prediction_and_makes_both_sides_alike(model: Factorisation) -> None:
    def next_step() -> tuple[np.ndarray, np.ndarray]:
        """What the items' step then gives for a user as the prior has it: mean and variance."""
        items = model.items.solve(model.item_moments(), model.noise)
        user = np.concatenate([[1.0], model.users.prior_map[0, 1:]])
        return items.mean @ user, np.einsum("ide,d,e->i", items.covariance, user, user)

    errors, (mean, variance) = model.expected_errors(), next_step()
    model.balance()
    np.testing.assert_allclose(model.expected_errors(), errors, rtol=1e-8)
    for after, before in zip(next_step(), (mean, variance), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-8)
    users, items = (s.prior_covariance[1:, 1:] for s in (model.users, model.items))
    np.testing.assert_allclose(users, items, atol=1e-9)
    np.testing.assert_allclose(users, np.diag(np.diag(users)), atol=1e-9)
    np.testing.assert_allclose(model.users.prior_map[0, 1:], 0, atol=1e-12)


@pytest.mark.parametrize("params", [VBPMF, OF_USERS], ids=["one for all", "of users"])
def test_factors_that_fade_stay_in_range_however_long_it_runs(
    prepared: Prepared, params: VBPMFParams
) -> None:
    """More factors than sixty items bear, and the correction for degrees of freedom is large."""
    history = prepared.history(0)
    users = np.unique(history.users_R.numpy())
    model = Factorisation.start(history, users, params.model_copy(update={"factors": 12}), seed=0)
    for _ in range(400):
        model.sweep()
    for side in (model.users, model.items):
        variances = np.linalg.eigvalsh(side.prior_covariance)
        assert variances[0] > 0
        assert variances[-1] < 100
    assert 0 < model.noise < 1


def test_sweeps_converge(prepared: Prepared) -> None:
    history = prepared.history(0)
    model = Factorisation.start(history, np.unique(history.users_R.numpy()), VBPMF, seed=1)
    noises = [model.noise]
    for _ in range(12):
        model.sweep()
        noises.append(model.noise)
    assert 0 < noises[-1] < noises[0]
    assert abs(noises[-1] - noises[-2]) < 0.1 * abs(noises[2] - noises[1])


def _item_posterior(model: Factorisation, item: int, users: np.ndarray) -> np.ndarray:
    """Posterior mean of an item given the ratings of ``users`` alone, one rating at a time."""
    prior = np.linalg.inv(model.items.prior_covariance)
    precision, right = prior.copy(), prior @ (model.items.features[item] @ model.items.prior_map)
    mean, covariance = model.users.posterior
    rated = np.flatnonzero(model.by_item.pattern[[item]].toarray()[0])
    for user in np.intersect1d(rated, users):
        y = model.by_item.values[item, user]
        x = np.concatenate([[1.0], mean[user, 1:]])
        own = np.pad(covariance[user, 1:, 1:], ((1, 0), (1, 0)))
        with_offset = np.concatenate([[0.0], covariance[user, 0, 1:]])
        noise = model.noise / model.exactness_U[user]
        precision += (np.outer(x, x) + own) / noise
        right += (y * x - mean[user, 0] * x - with_offset) / noise
    return np.linalg.solve(precision, right)


def test_a_cross_fitted_table_has_not_seen_the_group(
    prepared: Prepared, params: Params, backbone: Backbone
) -> None:
    """It is the items' step from the ratings of the other groups, users held fixed."""
    history, section = prepared.history(0), getattr(params.pretrain, backbone.kind)
    if section.audience:
        known = (history.item_features_NG, audience_features(history, section.audience))
        history = history._replace(item_features_NG=torch.cat(known, 1))
    users = np.unique(history.users_R.numpy())
    model = Factorisation.start(history, users, section, seed=0)
    for _ in range(section.sweeps):
        model.sweep()
    group = backbone.group_U.numpy()[users]
    assert set(group) == {1, 2, 3, 4}
    for table in range(5):
        others = np.flatnonzero(group != table)  # nobody is in group 0
        z = np.stack([_item_posterior(model, item, others) for item in range(prepared.n_items)])
        np.testing.assert_allclose(backbone.features_CND[table, :, 1:], z[:, 1:], atol=1e-4)
        left = backbone.group_U[history.users_R] != table
        counted = torch.bincount(history.items_R[left], minlength=history.n_items).float()
        assert torch.equal(backbone.count_CN[table], counted)
        offset = z[:, 0] + constant_first(z) @ model.users.prior_map[0]
        np.testing.assert_allclose(backbone.offset_CN[table], offset, atol=1e-4)


def test_the_offset_is_what_the_average_user_gives(
    prepared: Prepared, backbone: Backbone, params: Params
) -> None:
    assert backbone.covariance_NDD is not None
    D = 1 + VBPMF.factors
    assert backbone.features_CND.shape == (1 + VBPMF.crossfit, prepared.n_items, D)
    assert backbone.covariance_NDD.shape == (prepared.n_items, D, D)
    smallest = torch.linalg.eigvalsh(backbone.covariance_NDD.double()).min()
    assert float(smallest) > 0
    rated = backbone.count_CN[0] > 0
    share = backbone.count_CN[0] / backbone.count_CN[0].sum()
    assert float(share @ backbone.offset_CN[0]) == pytest.approx(
        float(prepared.history(0).targets_R.mean()), abs=0.2
    )
    # who has been rated more is known better
    variance_N = backbone.covariance_NDD[:, 0, 0]
    order = torch.stack([backbone.count_CN[0][rated], variance_N[rated]])
    assert float(torch.corrcoef(order)[0, 1]) < 0


def test_the_seed_decides(prepared: Prepared, params: Params, backbone: Backbone) -> None:
    history, validation = prepared.history(0), prepared.eval_episodes(0, "validation")
    again = fit_backbone(backbone.kind, history, validation, params.pretrain, seed=0)
    other = fit_backbone(backbone.kind, history, validation, params.pretrain, seed=1)
    for name, value in backbone.tensors().items():
        assert torch.equal(again.tensors()[name], value)
    assert not torch.equal(other.features_CND, backbone.features_CND)


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_without_ratings_is_its_attributes_less_certain(
    prepared: Prepared, params: Params, kind: str
) -> None:
    history = prepared.history(0)
    counts = torch.bincount(history.items_R, minlength=history.n_items)
    often, seldom = int(counts.argmax()), int(counts[1:].argmin()) + 1
    kept = ~torch.isin(history.items_R, torch.tensor([often, seldom]))
    sides = history.item_features_NG.clone()
    sides[seldom] = sides[often]
    part = history._replace(
        users_R=history.users_R[kept],
        items_R=history.items_R[kept],
        targets_R=history.targets_R[kept],
        item_features_NG=sides,
    )
    validation = prepared.eval_episodes(0, "validation")
    found = fit_backbone(kind, part, validation, params.pretrain, seed=0)
    assert found.covariance_NDD is not None
    for table in (found.offset_CN[0], found.features_CND[0], found.covariance_NDD):
        torch.testing.assert_close(table[often], table[seldom])  # how often they were is unknown
    rated = torch.unique(part.items_R)
    assert (found.offset_CN[0, rated] - found.offset_CN[0, often]).abs().max() > 0.1
    low, high = found.offset_CN[0, rated].min(), found.offset_CN[0, rated].max()
    assert low < found.offset_CN[0, often] < high
    uncertain_N = found.covariance_NDD.diagonal(dim1=1, dim2=2).sum(1)
    assert uncertain_N[often] > uncertain_N[rated].max()
