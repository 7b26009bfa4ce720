from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from coldstart.algorithms._base import MetaLearner
from coldstart.algorithms._inner_loop import descend
from coldstart.algorithms._network import subset
from coldstart.algorithms.meta_sgd import LearnedSGD
from coldstart.data.episodes import Episodes

Make = Callable[..., MetaLearner[Any]]
Directional = Callable[..., tuple[float, float]]
SUBSETS = ["head", "decision", "all", "lora", "film"]


@pytest.mark.parametrize("adapt", SUBSETS)
@pytest.mark.parametrize("head", ["rating", "click"])
def test_gradient_equals_finite_differences(
    make: Make,
    make_episodes: Callable[..., Episodes],
    directional: Directional,
    adapt: str,
    head: str,
) -> None:
    learner = make("meta_sgd", dtype=torch.float64, adapt=adapt, hidden=8, inner_steps=2, head=head)
    episodes = make_episodes(head, dtype=torch.float64)
    for seed in range(3):
        analytic, numeric = directional(learner, episodes, seed)
        assert analytic == pytest.approx(numeric, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("adapt", SUBSETS)
def test_with_constant_alpha_it_is_maml(
    make: Make, make_episodes: Callable[..., Episodes], adapt: str
) -> None:
    numbers: dict[str, Any] = {"dtype": torch.float64, "adapt": adapt, "inner_steps": 3}
    maml = make("maml", inner_rate=0.05, **numbers)
    rates = {f"alpha_{name}": torch.full_like(maml.theta[name], 0.05) for name in subset(adapt)}  # type: ignore[arg-type]
    learner = make("meta_sgd", **numbers).with_theta(maml.theta | rates)
    episodes = make_episodes(dtype=torch.float64)
    ours, theirs = learner.adapt(episodes.support), maml.adapt(episodes.support)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-12, atol=1e-14)
    gradients = learner.meta_gradient(learner.theta, episodes)[1]
    for name, value in maml.meta_gradient(maml.theta, episodes)[1].items():
        torch.testing.assert_close(gradients[name], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("adapt", SUBSETS)
def test_each_adapted_weight_has_its_own_rate_and_it_learns(
    make: Make, episodes: Episodes, adapt: str
) -> None:
    learner = make("meta_sgd", adapt=adapt)
    names = subset(adapt)  # type: ignore[arg-type]
    rates = {name for name in learner.theta if name.startswith("alpha_")}
    assert rates == {f"alpha_{name}" for name in names}
    _, gradients = learner.meta_gradient(learner.theta, episodes)
    for name in names:
        assert learner.theta[f"alpha_{name}"].shape == learner.theta[name].shape
        assert gradients[f"alpha_{name}"].abs().max() > 0


def test_one_step_by_hand_and_a_negative_rate_goes_uphill() -> None:
    """Loss ``sum w^2 / 2`` of two inputs and one output: the gradient is w, the fan-in 2."""
    start_B21 = torch.tensor([[[1.0], [4.0]]])
    rule = LearnedSGD({"w": torch.tensor([[0.5], [-0.5]])})
    end = descend(
        lambda w: 0.5 * w["w"].square().sum((1, 2)), {"w": start_B21}, 1, rule, second_order=False
    )
    torch.testing.assert_close(end["w"], torch.tensor([[[0.75], [5.0]]]))


def test_meta_training_turns_a_rate_negative_where_descent_harms(
    make: Make, make_episodes: Callable[..., Episodes]
) -> None:
    """Queries are the mirror image of supports: a user must move away from what was rated."""
    learner = make("meta_sgd", noise=0.0, adapt="head", inner_steps=1, shrinkage=0.0)
    episodes = make_episodes(n_users=12)
    support, offset_CN = episodes.support, learner.backbone.offset_CN
    support = support._replace(users_BF=torch.zeros_like(support.users_BF))
    offset_BS = offset_CN[support.crossfit_B[:, None], support.items_BS]
    offset_BQ = offset_CN[support.crossfit_B[:, None], episodes.items_BQ]
    sign_B1 = (torch.arange(12)[:, None] % 2) * 2.0 - 1
    mirrored = episodes._replace(
        support=support._replace(targets_BS=(offset_BS + sign_B1) * support.mask_BS),
        targets_BQ=offset_BQ - sign_B1,
    )
    theta = learner.theta
    for _ in range(60):
        _, gradients = learner.meta_gradient(theta, mirrored)
        theta = {name: value - 0.05 * gradients[name] for name, value in theta.items()}
    assert learner.theta["alpha_b3_11"].item() > 0
    assert theta["alpha_b3_11"].item() < 0
