from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from coldstart.algorithms._base import MetaLearner
from coldstart.algorithms._inner_loop import FanInSGD, descend
from coldstart.algorithms._interpolation import join
from coldstart.algorithms._network import subset
from coldstart.algorithms._proximal import proximal_loss
from coldstart.algorithms.metaprox import MetaProx
from coldstart.data.episodes import Episodes

Make = Callable[..., MetaLearner[Any]]
SUBSETS = ["head", "decision", "all", "lora", "film"]
SOLVED: dict[str, Any] = {"inner_steps": 100, "inner_rate": 0.05, "proximity": 8.0, "hidden": 8}


def _solve(theta: float, proximity: float, rows: int = 1) -> torch.Tensor:
    """phi* of two users with losses ``rows a/2 (w - m)^2``, where m is 1 and -2, a is 1 and 3."""
    curvature_B11 = torch.tensor([1.0, 3.0], dtype=torch.float64)[:, None, None]
    goal_B11 = torch.tensor([1.0, -2.0], dtype=torch.float64)[:, None, None]
    start = {"w": torch.full((2, rows, 1), theta, dtype=torch.float64)}

    def loss(weights: dict[str, torch.Tensor]) -> torch.Tensor:
        return 0.5 * rows * (curvature_B11 * (weights["w"] - goal_B11).square()).sum((1, 2))

    inner = proximal_loss(loss, start, proximity)
    return descend(inner, start, 200, FanInSGD(0.2), second_order=False)["w"]


@pytest.mark.parametrize("rows", [1, 4])  # a layer's fan-in changes neither speed nor solution
def test_inner_solution_is_the_closed_form_on_a_quadratic(rows: int) -> None:
    phi = _solve(0.5, proximity=2.0, rows=rows)
    expected = torch.tensor([(1 * 1 + 2 * 0.5) / 3, (3 * -2 + 2 * 0.5) / 5], dtype=torch.float64)
    torch.testing.assert_close(phi, expected[:, None, None].expand(2, rows, 1))


def test_fixed_point_on_a_quadratic() -> None:
    """theta stays where the users' pulls ``a / (a + lambda) (m - theta)`` cancel."""
    theta = 0.5
    for _ in range(100):
        theta += 0.5 * (float(_solve(theta, 2.0).mean()) - theta)
    pull = [1 / 3, 3 / 5]
    assert theta == pytest.approx((pull[0] * 1 + pull[1] * -2) / sum(pull))


@pytest.mark.parametrize("adapt", SUBSETS)
def test_update_is_the_gradient_of_the_inner_minimum(
    make: Make, make_episodes: Callable[..., Episodes], adapt: str
) -> None:
    """lambda fan_in (theta - phi*) against finite differences of min_phi G(phi, theta)."""
    learner = make("metaprox", dtype=torch.float64, adapt=adapt, **SOLVED)
    assert isinstance(learner, MetaProx)
    episodes = make_episodes(dtype=torch.float64, seed=2)  # none ends on the kink of a ReLU
    _, change = learner.meta_gradient(learner.theta, episodes)
    support = join(episodes).support
    names = subset(adapt)  # type: ignore[arg-type]

    def minimum(theta: dict[str, torch.Tensor]) -> float:
        state = learner.adapt_with(theta, support, training=False)
        phi = {name: state[name] for name in names}
        return float(learner.inner_loss(theta, support)(phi).mean())

    generator = torch.Generator().manual_seed(0)
    step = {n: torch.randn(learner.theta[n].shape, generator=generator).double() for n in names}
    ends = []
    for size in (1e-7, -1e-7):
        moved = {name: learner.theta[name] + size * step[name] for name in names}
        ends.append(minimum(learner.theta | moved))
    analytic = sum(8.0 * step[n].shape[-2] * float((change[n] * step[n]).sum()) for n in names)
    assert analytic == pytest.approx((ends[0] - ends[1]) / 2e-7, rel=1e-5, abs=1e-6)


def test_closer_with_more_proximity(make: Make, episodes: Episodes) -> None:
    moves = []
    for proximity in (0.1, 1.0, 8.0):
        learner = make("metaprox", proximity=proximity, inner_rate=0.05, inner_steps=50)
        state = learner.adapt(episodes.support)
        moves.append(max(float((state[n] - learner.theta[n]).norm()) for n in ("w1_DH", "skip_1D")))
    assert moves[0] > moves[1] > moves[2] > 0
