from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from coldstart.algorithms._base import MetaLearner
from coldstart.algorithms.leo import LEO, kl, sample
from coldstart.data.episodes import Episodes, Support

Make = Callable[..., MetaLearner[Any]]
Directional = Callable[..., tuple[float, float]]
SUBSETS = ["head", "decision", "all", "lora", "film"]
ADAPT = pytest.mark.parametrize("adapt", SUBSETS)


@pytest.fixture
def leo(make: Make) -> Callable[..., LEO]:
    def build(**changes: Any) -> LEO:
        learner = make("leo", dtype=torch.float64, **({"hidden": 8, "latent": 6} | changes))
        assert isinstance(learner, LEO)
        return learner

    return build


@pytest.fixture
def tasks(make_episodes: Callable[..., Episodes]) -> Episodes:
    return make_episodes(dtype=torch.float64)


@ADAPT
def test_latent_steps_lower_the_support_loss(
    leo: Callable[..., LEO], tasks: Episodes, adapt: str
) -> None:
    learner = leo(adapt=adapt, latent_rate=0.02)
    theta, support = learner.theta, tasks.support
    loss_of = learner.inner_loss(theta, support)
    before_BZ = learner.encode(theta, support).mean_BZ
    after_BZ = learner.descend_latent(theta, support, before_BZ, training=False)
    losses = [loss_of(learner.decode(theta, z)) for z in (before_BZ, after_BZ)]
    rated_B = support.mask_BS.any(1)
    assert (losses[1] < losses[0])[rated_B].all()
    assert torch.equal(after_BZ[~rated_B], before_BZ[~rated_B])


@ADAPT
def test_gradient_equals_finite_differences(
    leo: Callable[..., LEO], tasks: Episodes, directional: Directional, adapt: str
) -> None:
    """The stopped gradient of the encoder's penalty is no derivative: see the test below."""
    learner = leo(adapt=adapt, encoder_penalty=0.0, kl_weight=0.3)
    for seed in range(3):
        analytic, numeric = directional(learner, tasks, seed, training=True)
        assert analytic == pytest.approx(numeric, rel=1e-5, abs=1e-6)


def test_kl_is_the_divergence_of_two_gaussians(leo: Callable[..., LEO], tasks: Episodes) -> None:
    code = leo().encode(leo().theta, tasks.support)
    ours = torch.distributions.Normal(code.mean_BZ, code.log_std_BZ.exp())
    prior = torch.distributions.Normal(torch.zeros_like(code.mean_BZ), 1.0)
    expected_B = torch.distributions.kl_divergence(ours, prior).sum(1)
    torch.testing.assert_close(kl(code), expected_B)
    rated_B = tasks.support.mask_BS.any(1)
    assert (expected_B[rated_B] > 0).all()
    assert expected_B[~rated_B].count_nonzero() == 0


def test_the_meta_loss_reports_kl_and_penalty(leo: Callable[..., LEO], tasks: Episodes) -> None:
    def loss(kl_weight: float, encoder_penalty: float) -> torch.Tensor:
        learner = leo(kl_weight=kl_weight, encoder_penalty=encoder_penalty)
        return learner.query_loss(theta, tasks, training=True)

    learner, support = leo(), tasks.support
    theta = {name: value.clone().requires_grad_() for name, value in learner.theta.items()}
    code = learner.encode(theta, support)
    before_BZ = sample(code, support)
    after_BZ = learner.descend_latent(theta, support, before_BZ, training=True)
    torch.testing.assert_close(loss(0.5, 0.0) - loss(0.0, 0.0), 0.5 * kl(code))
    moved_B = (after_BZ - before_BZ).square().sum(1)
    torch.testing.assert_close(loss(0.0, 0.5) - loss(0.0, 0.0), 0.5 * moved_B)


def test_the_penalty_pulls_the_encoder_towards_where_steps_lead(
    leo: Callable[..., LEO], tasks: Episodes
) -> None:
    """Its gradient is that of a distance to a constant, and none goes to the decoder."""
    gradients = []
    for penalty in (0.0, 0.5):
        learner = leo(encoder_penalty=penalty)
        gradients.append(learner.meta_gradient(learner.theta, tasks)[1])
    difference = {name: gradients[1][name] - gradients[0][name] for name in gradients[0]}
    assert difference["decoder_ZW"].abs().max() < 1e-12
    theta = {name: value.clone().requires_grad_() for name, value in learner.theta.items()}
    start_BZ = sample(learner.encode(theta, tasks.support), tasks.support)
    goal_BZ = learner.descend_latent(theta, tasks.support, start_BZ, training=True).detach()
    distance = 0.5 * (goal_BZ - start_BZ).square().sum(1).mean()
    for name in ("encoder_XH", "mean_HZ", "log_std_HZ"):
        (expected,) = torch.autograd.grad(distance, theta[name], retain_graph=True)
        torch.testing.assert_close(difference[name], expected)


def test_sampling_repeats_and_does_not_touch_the_mean(
    leo: Callable[..., LEO], tasks: Episodes
) -> None:
    learner, support = leo(), tasks.support
    code = learner.encode(learner.theta, support)
    state = torch.get_rng_state()
    draw_BZ = sample(code, support)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(sample(code, support), draw_BZ)
    others = support._replace(items_BS=support.items_BS + 1)
    assert not torch.equal(sample(code, others), draw_BZ)
    assert not torch.allclose(draw_BZ, code.mean_BZ)


def test_code_does_not_depend_on_order_or_padding(leo: Callable[..., LEO], tasks: Episodes) -> None:
    learner, support = leo(), tasks.support
    expected = learner.encode(learner.theta, support)
    width = support.items_BS.shape[1]
    order = torch.randperm(width, generator=torch.Generator().manual_seed(0))

    def change(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x[:, order], torch.zeros_like(x)], 1)

    turned = Support(
        change(support.items_BS),
        change(support.targets_BS),
        change(support.mask_BS),
        support.users_BF,
        support.crossfit_B,
    )
    for ours, theirs in zip(learner.encode(learner.theta, turned), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@ADAPT
def test_without_support_weights_are_thetas(
    leo: Callable[..., LEO], tasks: Episodes, adapt: str
) -> None:
    learner = leo(adapt=adapt)
    state = learner.adapt(tasks.support)
    for name in learner._adapted:
        assert torch.equal(state[name][0], learner.theta[name])  # user 0 has no support
        assert not torch.equal(state[name][-1], learner.theta[name])
