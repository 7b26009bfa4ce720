from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from coldstart.algorithms._base import MetaLearner
from coldstart.algorithms._inner_loop import SGD, FanInSGD, descend
from coldstart.algorithms._network import subset
from coldstart.data.episodes import Episodes

Make = Callable[..., MetaLearner[Any]]
Directional = Callable[..., tuple[float, float]]
SUBSETS = ["head", "decision", "all", "lora", "film"]


@pytest.mark.parametrize("adapt", SUBSETS)
@pytest.mark.parametrize("head", ["rating", "click"])
def test_second_order_gradient_equals_finite_differences(
    make: Make,
    make_episodes: Callable[..., Episodes],
    directional: Directional,
    adapt: str,
    head: str,
) -> None:
    learner = make("maml", dtype=torch.float64, adapt=adapt, hidden=8, inner_steps=3, head=head)
    episodes = make_episodes(head, dtype=torch.float64)
    for seed in range(3):
        analytic, numeric = directional(learner, episodes, seed)
        assert analytic == pytest.approx(numeric, rel=1e-5, abs=1e-6)


def test_first_order_ignores_the_curvature(
    make: Make, make_episodes: Callable[..., Episodes]
) -> None:
    episodes = make_episodes(dtype=torch.float64)
    numbers: dict[str, Any] = {"hidden": 8, "inner_steps": 3, "adapt": "all"}
    second = make("maml", dtype=torch.float64, **numbers)
    first = make("fomaml", dtype=torch.float64, **numbers)
    loss, gradients = first.meta_gradient(first.theta, episodes)
    loss_second, gradients_second = second.meta_gradient(second.theta, episodes)
    assert torch.equal(loss, loss_second)  # same model, same adaptation
    # by definition: the gradient of the query loss at the adapted weights, averaged over users
    state = first.adapt_with(first.theta, episodes.support, training=False)
    adapted = {name: state[name].requires_grad_() for name in subset("all")}
    score = first.score_with(
        first.theta, state | adapted, episodes.items_BQ, episodes.support.crossfit_B
    ).mean
    per_user = (score - episodes.targets_BQ).square().mean(1)
    at_adapted = torch.autograd.grad(per_user.mean(), list(adapted.values()))
    for name, gradient in zip(adapted, at_adapted, strict=True):
        torch.testing.assert_close(gradients[name], gradient.sum(0))
    assert any(not torch.allclose(gradients[n], gradients_second[n]) for n in gradients)


@pytest.mark.parametrize("adapt", SUBSETS)
def test_only_the_subset_is_adapted(make: Make, episodes: Episodes, adapt: str) -> None:
    learner = make("maml", adapt=adapt)
    state = learner.adapt(episodes.support)
    assert set(state) - {"users_B1F"} == set(subset(adapt))  # type: ignore[arg-type]
    for name in subset(adapt):  # type: ignore[arg-type]
        assert torch.equal(state[name][0], learner.theta[name])  # user 0 has no support


def test_adaptation_lowers_the_support_loss(make: Make, episodes: Episodes) -> None:
    learner = make("maml", inner_rate=0.02, inner_steps=20, shrinkage=0.0)
    support = episodes.support._replace(crossfit_B=torch.zeros(episodes.n_users).long())
    losses = []
    for state in (learner.adapt(support.first(0)), learner.adapt(support)):
        error = learner.score(state, support.items_BS).mean - support.targets_BS
        losses.append((error.square() * support.mask_BS).sum(1))
    rated = support.mask_BS.any(1)
    assert (losses[1] < losses[0])[rated].all()


def test_sgd_on_a_quadratic_is_its_closed_form() -> None:
    start_B1 = torch.tensor([[1.0], [-2.0]], dtype=torch.float64)
    curvature_B = torch.tensor([1.0, 3.0], dtype=torch.float64)

    def loss(weights: dict[str, torch.Tensor]) -> torch.Tensor:
        return 0.5 * curvature_B * weights["w"][:, 0].square()

    end = descend(loss, {"w": start_B1}, 4, SGD(0.1), second_order=False)
    torch.testing.assert_close(end["w"][:, 0], start_B1[:, 0] * (1 - 0.1 * curvature_B) ** 4)


def test_a_layers_rate_is_divided_by_its_fan_in() -> None:
    weights = {"w_BIO": torch.zeros(2, 4, 3), "b_B1O": torch.zeros(2, 1, 3)}
    ones = {name: torch.ones_like(w) for name, w in weights.items()}
    end = FanInSGD(0.1)(weights, ones, torch.zeros(2))
    torch.testing.assert_close(end["w_BIO"], torch.full((2, 4, 3), -0.025))
    torch.testing.assert_close(end["b_B1O"], torch.full((2, 1, 3), -0.1))


def test_inner_steps_stay_bounded_on_items_far_outside(make: Make, episodes: Episodes) -> None:
    learner = make("maml", noise=0.0)
    features_CND = learner.backbone.features_CND.clone()
    features_CND[:, :, 1:] *= 0.01
    features_CND[:, learner.backbone.count_CN[0] < 3, 1:] *= 300  # rarely rated, far from the rest
    backbone = replace(learner.backbone, features_CND=features_CND)
    wild = type(learner)(backbone, learner.params, learner.head, learner.theta)
    far = torch.nonzero(backbone.count_CN[0] < 3).squeeze(1)
    support = episodes.support
    only_far = support._replace(items_BS=far[support.items_BS % len(far)])
    for each in (support, only_far):
        assert wild.score_catalogue(wild.adapt(each)).mean.abs().max() < 8  # targets are 1 to 5


def test_finetune_starts_from_the_pretrained_model_and_follows_sgd(
    make: Make, episodes: Episodes
) -> None:
    tuned = make("finetune", noise=0.0, adapt="head", inner_steps=1, inner_rate=0.1, shrinkage=0.0)
    support = episodes.support._replace(crossfit_B=torch.zeros(episodes.n_users).long())
    state = tuned.adapt(support)
    table = tuned.backbone
    x_BSD = table.features_CND[0][support.items_BS]
    prior_B1D = (support.users_BF @ table.prior_FD).unsqueeze(1)
    error_BS = table.offset_CN[0][support.items_BS] + (x_BSD * prior_B1D).sum(-1)
    error_BS = (error_BS - support.targets_BS) * support.mask_BS
    size_B = support.mask_BS.sum(1).clamp(min=1)
    gradient_BD = 2 * (error_BS.unsqueeze(-1) * x_BSD).sum(1) / size_B.unsqueeze(-1)
    torch.testing.assert_close(state["skip_1D"][:, 0], -0.1 * gradient_BD)
    assert not tuned.meta_trained
