from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from coldstart.algorithms._base import MetaLearner
from coldstart.algorithms._network import subset
from coldstart.algorithms.mlr import information
from coldstart.data.episodes import Episodes

Make = Callable[..., MetaLearner[Any]]
Directional = Callable[..., tuple[float, float]]
SUBSETS = ["head", "decision", "all", "lora", "film"]


def _training_loss(learner: MetaLearner[Any], episodes: Episodes) -> torch.Tensor:
    """Per user, as meta-training takes it."""
    theta = {name: value.clone().requires_grad_() for name, value in learner.theta.items()}
    return learner.query_loss(theta, episodes, training=True).detach()


@pytest.mark.parametrize("adapt", SUBSETS)
@pytest.mark.parametrize("head", ["rating", "click"])
def test_gradient_equals_finite_differences(
    make: Make,
    make_episodes: Callable[..., Episodes],
    directional: Directional,
    adapt: str,
    head: str,
) -> None:
    numbers: dict[str, Any] = {"information": 0.1, "anchor": 2.0, "hidden": 8, "inner_steps": 3}
    learner = make("mlr", dtype=torch.float64, adapt=adapt, head=head, **numbers)
    episodes = make_episodes(head, dtype=torch.float64)
    for seed in range(3):
        analytic, numeric = directional(learner, episodes, seed, training=True)
        assert analytic == pytest.approx(numeric, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("adapt", SUBSETS)
def test_as_lambda_grows_nothing_adapts(
    make: Make, make_episodes: Callable[..., Episodes], adapt: str
) -> None:
    support = make_episodes(dtype=torch.float64).support
    distances = []
    for anchor in (0.0, 1.0, 10.0, 1e3, 1e12):
        learner = make("mlr", dtype=torch.float64, adapt=adapt, anchor=anchor, inner_rate=0.05)
        state = learner.adapt(support)
        names = subset(adapt)  # type: ignore[arg-type]
        parts = [(state[name] - learner.theta[name]).flatten() for name in names]
        distances.append(float(torch.cat(parts).norm()))
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 0.01
    assert distances[-1] < 1e-10
    torch.testing.assert_close(
        learner.score_catalogue(state).mean,
        learner.score_catalogue(learner.adapt(support.first(0))).mean,
    )


def test_without_the_anchor_it_adapts_as_maml(make: Make, episodes: Episodes) -> None:
    learner, maml = make("mlr", anchor=0.0), make("maml")
    shared = {name: learner.theta[name] for name in maml.theta}
    ours, theirs = learner.adapt(episodes.support), maml.with_theta(shared).adapt(episodes.support)
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value)


def test_many_held_steps_solve_the_penalised_problem(
    make: Make, make_episodes: Callable[..., Episodes]
) -> None:
    """At the fixed point ``grad L_S + lambda fan_in (phi - theta)`` is zero."""
    learner: Any = make(
        "mlr", dtype=torch.float64, adapt="head", anchor=3.0, inner_steps=100, inner_rate=0.1
    )
    support = make_episodes(dtype=torch.float64).support
    support = support._replace(crossfit_B=torch.zeros_like(support.crossfit_B))
    state = learner.adapt(support)
    phi = {name: state[name].requires_grad_() for name in subset("head")}
    loss = learner.inner_loss(learner.theta, support)(phi).sum()
    for (name, w), gradient in zip(
        phi.items(), torch.autograd.grad(loss, list(phi.values())), strict=True
    ):
        pull = 3.0 * w.shape[-2] * (w - learner.theta[name])
        torch.testing.assert_close(gradient, -pull, rtol=1e-6, atol=1e-8)
    assert loss > 0


@pytest.mark.parametrize("head", ["rating", "click"])
def test_the_training_loss_is_the_expectation_over_heads(
    make: Make, make_episodes: Callable[..., Episodes], head: str
) -> None:
    """Against 20,000 heads drawn from q."""
    learner = make(
        "mlr", dtype=torch.float64, head=head, adapt="head", hidden=4, information=0.0, spread=0.7
    )
    episodes = make_episodes(head, n_users=3, dtype=torch.float64)
    theta, support = learner.theta, episodes.support
    state = learner.adapt_with(theta, support, training=False)
    generator = torch.Generator().manual_seed(0)
    draws, total_B = 20_000, 0.0
    for user in range(3):
        one = {name: value[user : user + 1] for name, value in state.items()}
        many = {"users_B1F": one["users_B1F"].expand(draws, -1, -1)}
        for name in subset("head"):
            noise = torch.randn(
                (draws, *theta[name].shape), generator=generator, dtype=torch.float64
            )
            scale = theta[f"log_std_{name}"].exp() / math.sqrt(theta[name].shape[-2])
            many[name] = one[name] + scale * noise
        items_BQ = episodes.items_BQ[user].expand(draws, -1)
        table_B = support.crossfit_B[user].expand(draws)
        score_BQ = learner.score_with(theta, many, items_BQ, table_B).mean
        losses = learner.head.loss(score_BQ, episodes.targets_BQ[user].expand(draws, -1))
        total_B += float(losses.mean()) / 3
    expected = float(_training_loss(learner, episodes).mean())
    plain = float(learner.query_loss(theta, episodes, training=False).mean())
    assert total_B > plain
    assert expected - plain == pytest.approx(total_B - plain, rel=0.2)  # what the spread adds


def test_information_is_the_divergence_of_normals() -> None:
    weights = {name: torch.zeros(1, 1) for name in subset("head")}
    weights["w3_H1"] = torch.tensor([[[0.3], [-0.2]]])  # one user
    stds = {"skip_1D": 1.0, "w3_H1": 0.5, "b3_11": 2.0}
    for name, std in stds.items():
        weights[f"log_std_{name}"] = torch.full_like(weights[name][..., :, :], math.log(std))
    expected = 0.0
    for name in subset("head"):
        w = weights[name]
        root = math.sqrt(w.shape[-2])
        q = torch.distributions.Normal(root * w, stds[name])
        r = torch.distributions.Normal(0.0, 1.0)
        expected += float(torch.distributions.kl_divergence(q, r).sum())
    assert information(weights).tolist() == pytest.approx([expected])


def test_information_weighs_and_validation_does_not_read_it(make: Make, episodes: Episodes) -> None:
    without, with_ = make("mlr", information=0.0), make("mlr", information=0.5)
    losses = [m.query_loss(m.theta, episodes, training=False) for m in (without, with_)]
    assert torch.equal(*losses)
    trained = [_training_loss(m, episodes) for m in (without, with_)]
    weights = with_.theta | with_.adapt_with(with_.theta, episodes.support, training=False)
    torch.testing.assert_close(trained[1] - trained[0], 0.5 * information(weights))
