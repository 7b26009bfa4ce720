from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from coldstart.algorithms._base import MetaLearner
from coldstart.data.episodes import Episodes

Make = Callable[..., MetaLearner[Any]]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_gradient_equals_finite_differences(
    make: Make,
    make_episodes: Callable[..., Episodes],
    seed: int,
    training: bool,
) -> None:
    """Of the likelihood (training) and of the loss that selects (not)."""
    learner = make("cnp", dtype=torch.float64)
    episodes = make_episodes(dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    step = {
        name: torch.randn(value.shape, generator=generator, dtype=value.dtype)
        for name, value in learner.theta.items()
    }

    def loss(theta: dict[str, torch.Tensor]) -> torch.Tensor:
        return learner.query_loss(theta, episodes, training=training).mean()

    theta = {name: value.clone().requires_grad_() for name, value in learner.theta.items()}
    gradients = torch.autograd.grad(loss(theta), list(theta.values()), materialize_grads=True)
    analytic = sum(float((g * step[n]).sum()) for n, g in zip(theta, gradients, strict=True))
    ends = [
        float(loss({n: v + size * step[n] for n, v in learner.theta.items()}))
        for size in (1e-7, -1e-7)
    ]
    assert analytic == pytest.approx((ends[0] - ends[1]) / 2e-7, rel=1e-5)


def test_training_loss_is_the_gaussian_likelihood(make: Make, episodes: Episodes) -> None:
    learner = make("cnp")
    support = episodes.support
    state = learner.adapt_with(learner.theta, support, training=True)
    mean, variance = learner.score_with(learner.theta, state, episodes.items_BQ, support.crossfit_B)
    assert variance is not None
    normal = torch.distributions.Normal(mean, variance.sqrt())
    expected_B = -normal.log_prob(episodes.targets_BQ).mean(-1) - 0.5 * math.log(2 * math.pi)
    loss_B = learner.query_loss(learner.theta, episodes, training=True)
    torch.testing.assert_close(loss_B, expected_B)


def test_untrained_it_is_one_step_of_a_linear_head_by_hand(
    make: Make, make_episodes: Callable[..., Episodes]
) -> None:
    learner: Any = make("cnp", dtype=torch.float64, noise=0.0, mean_shrinkage=2.0, shrinkage=3.0)
    user, backbone = 3, learner.backbone
    support = make_episodes(dtype=torch.float64).support.rows(slice(user, user + 1)).first(user)
    weights = support.users_BF[0] @ backbone.prior_FD
    prior_N = backbone.offset_CN[0] + backbone.features_CND[0] @ weights
    share_N = backbone.count_CN[0] / backbone.count_CN[0].sum()
    size = (share_N @ backbone.features_CND[0, :, 1:].square().mean(-1)).sqrt()
    factors_NE = backbone.features_CND[0, :, 1:] / size
    rows = support.items_BS[0]
    left = support.targets_BS[0] - prior_N[rows]
    mean = left.sum() / (3 + 2.0)
    step = (left - mean) @ factors_NE[rows] / (3 + 3.0)
    expected_N = prior_N + mean + factors_NE @ step
    actual_N = learner.score_catalogue(learner.adapt(support)).mean[0]
    torch.testing.assert_close(actual_N, expected_N, rtol=1e-6, atol=1e-6)


def test_the_support_modulates_the_decoder(make: Make, episodes: Episodes) -> None:
    """With the linear paths shut, what is left of the support acts through scales and shifts."""
    learner: Any = make("cnp")
    state = learner.adapt(episodes.support)
    shut = {name: torch.zeros_like(state[name]) for name in ("mean_B", "weights_BE")}
    plain = learner.score_catalogue(state | shut).mean
    without = learner.score_catalogue(
        state | shut | {"user_BH": torch.zeros_like(state["user_BH"])}
    ).mean
    torch.testing.assert_close(plain[0], without[0])  # user 0 has no support
    assert ((plain[1:] - without[1:]).abs().amax(-1) > 1e-3).all()


def test_a_variance_only_for_ratings(make: Make, episodes: Episodes) -> None:
    for head, given in (("rating", True), ("click", False)):
        learner = make("cnp", head=head)
        support = episodes.support._replace(targets_BS=(episodes.support.targets_BS >= 4).float())
        prediction = learner.score(learner.adapt(support), episodes.items_BQ)
        assert (prediction.variance is not None) == given
