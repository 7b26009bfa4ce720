from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from coldstart.algorithms._base import MetaLearner
from coldstart.algorithms.bayes_head import BayesHead
from coldstart.data.episodes import Episodes, Support
from coldstart.models.description import descriptions
from coldstart.models.floors import LEAST_SPREAD
from coldstart.models.foldin import found_in

Make = Callable[..., MetaLearner[Any]]


@pytest.fixture
def head(make: Make) -> BayesHead:
    learner = make("bayes_head", dtype=torch.float64, noise=0.3)
    assert isinstance(learner, BayesHead)
    return learner


def _double(episodes: Episodes) -> Support:
    support = episodes.support
    return support._replace(
        targets_BS=support.targets_BS.double(), users_BF=support.users_BF.double()
    )


def _history(episodes: Episodes) -> Episodes:
    support = episodes.support
    return episodes._replace(support=support._replace(crossfit_B=support.crossfit_B * 0))


@pytest.mark.parametrize("size", [3, 5, 12])  # fewer ratings than weights, as many, more
def test_equals_the_normal_equations(
    head: BayesHead, make_episodes: Callable[..., Episodes], size: int
) -> None:
    episodes = _history(make_episodes(n_users=size + 1, support=size, dtype=torch.float64))
    support, theta, table = episodes.support, head.theta, head.backbone
    prediction = head.score(head.adapt(support), episodes.items_BQ)
    assert prediction.variance is not None

    lower = np.tril(theta["lower_EE"].numpy(), -1) + np.diag(theta["log_diagonal_E"].exp())
    sigma_inverse = np.linalg.inv(lower @ lower.T + LEAST_SPREAD * np.eye(len(lower)))
    x_ND, offset_N = table.features_CND[0].numpy(), table.offset_CN[0].numpy()
    assert table.covariance_NDD is not None
    own_NDD = table.covariance_NDD.numpy()
    free_NDD = own_NDD.copy()  # of the features alone: their constant is certain
    free_NDD[:, 0, :] = free_NDD[:, :, 0] = 0
    described_NJ = descriptions(table)[0].numpy()
    noise = theta["noise_2"].numpy()
    variance_N = np.exp(noise[0] + noise[1] / np.sqrt(1 + table.count_CN[0].numpy()))
    for user in range(episodes.n_users):
        rated = support.mask_BS[user].numpy()
        items = support.items_BS[user].numpy()[rated]
        y = support.targets_BS[user].numpy()[rated]
        prior = support.users_BF[user].numpy() @ table.prior_FD.numpy()
        damped = len(items) + float(table.choice_damping)
        prior = prior + described_NJ[items].sum(0) @ table.choice_JD.numpy() / damped
        x, weight = x_ND[items], 1 / variance_N[items]
        second = x[:, :, None] * x[:, None, :] + free_NDD[items]
        precision = sigma_inverse + np.einsum("s,sde->de", weight, second)
        cross = offset_N[items, None] * x
        cross[:, 1:] += own_NDD[items][:, 0, 1:]
        moment = sigma_inverse @ prior + weight @ (y[:, None] * x - cross)
        mean = np.linalg.solve(precision, moment)
        query = episodes.items_BQ[user].numpy()
        np.testing.assert_allclose(
            prediction.mean[user], offset_N[query] + x_ND[query] @ mean, rtol=1e-9
        )
        covariance = np.linalg.inv(precision)
        spread = np.einsum("qe,ef,qf->q", x_ND[query], covariance, x_ND[query])
        tilde = np.concatenate([[1.0], mean[1:]])
        own = np.einsum("d,qde,e->q", tilde, own_NDD[query], tilde)
        own += np.einsum("qde,de->q", free_NDD[query], covariance)
        spread_S = np.einsum("se,ef,sf->s", x, covariance, x)
        own_S = np.einsum("d,sde,e->s", tilde, own_NDD[items], tilde)
        own_S += np.einsum("sde,de->s", free_NDD[items], covariance)
        error_S = (y - offset_N[items] - x @ mean) ** 2 + spread_S + own_S
        shape = np.exp(theta["log_shape"].numpy())
        exactness = (shape + len(items) / 2) / (shape + weight @ error_S / 2)
        expected = spread + own + variance_N[query] / exactness
        np.testing.assert_allclose(prediction.variance[user], expected, rtol=1e-9)


def test_a_step_of_training_may_leave_hardly_any_spread(
    head: BayesHead, make_episodes: Callable[..., Episodes]
) -> None:
    """As it does on likes alone, whose prior is narrow: covariances of 1e-5 and steps of 1e-2."""
    support = _double(make_episodes(n_users=3, support=5, dtype=torch.float64))
    single = Support(*(t.float() if t.is_floating_point() else t for t in support))
    theta = {name: value.float() for name, value in head.theta.items()}
    theta["lower_EE"] = 0.2 * torch.ones_like(theta["lower_EE"]).tril(-1)
    theta["log_diagonal_E"] = torch.full_like(theta["log_diagonal_E"], -12.0)
    theta["noise_2"] = torch.full_like(theta["noise_2"], -9.0)
    exact = head.adapt_with({n: t.double() for n, t in theta.items()}, support, training=True)
    found = head.adapt_with(theta, single, training=True)
    torch.testing.assert_close(found["mean_BD"].double(), exact["mean_BD"], rtol=0.02, atol=0.02)


def test_a_user_who_is_hard_to_fit_is_predicted_with_more_noise(
    head: BayesHead, episodes: Episodes
) -> None:
    support = _double(episodes).rows(slice(5, 6))
    mean = head.score(head.adapt(support), support.items_BS).mean
    calm, wild = (
        support._replace(targets_BS=mean),
        support._replace(
            targets_BS=mean + 2 * torch.tensor([1.0, -1.0]).repeat(mean.shape[1])[: mean.shape[1]]
        ),
    )
    noises = [head.score(head.adapt(s), episodes.items_BQ[5:6]).variance for s in (calm, wild)]
    assert noises[0] is not None
    assert noises[1] is not None
    assert (noises[0] < noises[1]).all()


def test_more_ratings_mean_less_variance(head: BayesHead, episodes: Episodes) -> None:
    """Of the weights; the variance of a prediction also depends on how large they are."""
    support = _double(episodes)
    spreads = []
    for k in (0, 2, 5):
        found = found_in(head.adapt(support.first(k)))
        spreads.append(found.covariance.diagonal(dim1=1, dim2=2))
    for more, fewer in pairwise(spreads):
        assert (fewer <= more + 1e-12).all()
    assert (spreads[-1] < spreads[0])[support.mask_BS.any(1)].all()


def test_the_choice_of_items_counts_whatever_their_ratings(make: Make, episodes: Episodes) -> None:
    learner = make("bayes_head", noise=0.0)
    deaf = learner.with_theta(learner.theta | {"noise_2": torch.tensor([30.0, 0.0])})
    support = episodes.support.rows(slice(5, 6))
    loud = support._replace(targets_BS=support.targets_BS + 1)
    heard = deaf.score_catalogue(deaf.adapt(support)).mean
    torch.testing.assert_close(deaf.score_catalogue(deaf.adapt(loud)).mean, heard)
    nobody = deaf.score_catalogue(deaf.adapt(support.first(0))).mean
    assert float((heard - nobody).abs().max()) > 0.01


def test_ranking_the_catalogue_takes_no_variance(head: BayesHead, episodes: Episodes) -> None:
    state = head.adapt(_double(episodes))
    assert head.score_catalogue(state).variance is None
    assert head.score(state, episodes.items_BQ).variance is not None


def test_gradient_through_the_solve_equals_finite_differences(
    make: Make, make_episodes: Callable[..., Episodes]
) -> None:
    learner = make("bayes_head", dtype=torch.float64)
    episodes = make_episodes(n_users=8, support=7, dtype=torch.float64)
    _, gradients = learner.meta_gradient(learner.theta, episodes)
    generator = torch.Generator().manual_seed(0)
    for name, value in learner.theta.items():
        step = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        losses = []
        for size in (1e-6, -1e-6):
            theta = learner.theta | {name: value + size * step}
            losses.append(float(learner.query_loss(theta, episodes, training=True).mean()))
        numeric = (losses[0] - losses[1]) / 2e-6
        assert float((gradients[name] * step).sum()) == pytest.approx(numeric, rel=1e-5, abs=1e-8)


def test_an_unseen_item_may_be_noisier(make: Make, episodes: Episodes) -> None:
    learner = make("bayes_head", noise=0.0)
    noisy = learner.with_theta(learner.theta | {"noise_2": torch.tensor([0.0, 1.0])})
    rare = int(learner.backbone.count_CN[0].argmin())
    common = int(learner.backbone.count_CN[0].argmax())
    assert isinstance(noisy, BayesHead)
    variance_N = noisy.noise(noisy.theta)[0]
    assert variance_N[rare] > variance_N[common] >= 1.0
