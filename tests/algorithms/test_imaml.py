from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from coldstart.algorithms._base import MetaLearner, Theta
from coldstart.algorithms._gradient import GradientLearner
from coldstart.algorithms.imaml import IMAML, conjugate_gradients
from coldstart.data.episodes import Episodes

Make = Callable[..., MetaLearner[Any]]
Directional = Callable[..., tuple[float, float]]
SUBSETS = ["head", "decision", "all", "lora", "film"]
HEAD = ("skip_1D", "w3_H1", "b3_11")
SOLVED: dict[str, Any] = {
    "inner_steps": 100,
    "inner_rate": 0.05,
    "proximity": 8.0,
    "hidden": 8,
    "cg_steps": 100,
}


def _systems() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    root_Bnn = torch.randn(4, 6, 6, generator=generator, dtype=torch.float64)
    target_Bn = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    return root_Bnn @ root_Bnn.mT + torch.eye(6), target_Bn


def test_conjugate_gradients_equal_the_exact_solve() -> None:
    a_Bnn, target_Bn = _systems()
    target_Bn[2] = 0.0  # a user whose query says nothing
    x_Bn = conjugate_gradients(lambda v: (a_Bnn @ v.unsqueeze(-1)).squeeze(-1), target_Bn, 9)
    torch.testing.assert_close(x_Bn, torch.linalg.solve(a_Bnn, target_Bn))


def test_a_direction_without_curvature_ends_only_its_users_solve() -> None:
    a_Bnn, target_Bn = _systems()
    a_Bnn[1] = -a_Bnn[1]
    x_Bn = conjugate_gradients(lambda v: (a_Bnn @ v.unsqueeze(-1)).squeeze(-1), target_Bn, 6)
    assert x_Bn[1].count_nonzero() == 0
    exact_Bn = torch.linalg.solve(a_Bnn, target_Bn)
    torch.testing.assert_close(x_Bn[[0, 2, 3]], exact_Bn[[0, 2, 3]])


def test_meta_gradient_is_the_exact_solve_on_a_quadratic(
    make: Make, make_episodes: Callable[..., Episodes]
) -> None:
    """Only the linear last layers adapt, so phi* and the gradient are solved by linear algebra."""
    learner = make("imaml", dtype=torch.float64, adapt="head", **SOLVED)
    assert isinstance(learner, IMAML)
    episodes = make_episodes(dtype=torch.float64)
    _, gradients = learner.meta_gradient(learner.theta, episodes)
    expected = torch.stack(
        [_exact(learner, episodes.rows(slice(b, b + 1))) for b in range(episodes.n_users)]
    ).mean(0)
    actual = torch.cat([gradients[name].flatten() for name in HEAD])
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-8)


def _exact(learner: IMAML, episode: Episodes) -> torch.Tensor:
    """P (P + H / lambda)^-1 grad L_Q(phi*) of one user, P the fan-in of each weight."""
    theta, support = learner.theta, episode.support
    start_n = torch.cat([theta[name].flatten() for name in HEAD])
    fan_in_n = torch.cat([torch.full((theta[n].numel(),), theta[n].shape[0]) for n in HEAD])

    def split(v_n: torch.Tensor) -> Theta:
        parts = v_n.split([theta[name].numel() for name in HEAD])
        return {n: p.view(1, *theta[n].shape) for n, p in zip(HEAD, parts, strict=True)}

    support_loss = GradientLearner.inner_loss(learner, theta, support)

    def on_support(v_n: torch.Tensor) -> torch.Tensor:
        return support_loss(split(v_n)).sum()

    def on_query(v_n: torch.Tensor) -> torch.Tensor:
        state = split(v_n) | {"users_B1F": support.users_BF.unsqueeze(1)}
        score = learner.score_with(theta, state, episode.items_BQ, support.crossfit_B).mean
        return (score - episode.targets_BQ).square().mean()

    hessian_nn = torch.autograd.functional.hessian(on_support, start_n)
    slope_n = torch.autograd.functional.jacobian(on_support, start_n)
    bound_nn = hessian_nn + learner.params.proximity * torch.diag(fan_in_n)
    phi_n = start_n - torch.linalg.solve(bound_nn, slope_n)
    query_n = torch.autograd.functional.jacobian(on_query, phi_n)
    return learner.params.proximity * fan_in_n * torch.linalg.solve(bound_nn, query_n)


@pytest.mark.parametrize("adapt", SUBSETS)
def test_gradient_at_the_solution_equals_finite_differences(
    make: Make, make_episodes: Callable[..., Episodes], directional: Directional, adapt: str
) -> None:
    learner = make("imaml", dtype=torch.float64, adapt=adapt, **SOLVED)
    episodes = make_episodes(dtype=torch.float64)
    for seed in range(3):
        analytic, numeric = directional(learner, episodes, seed)
        assert analytic == pytest.approx(numeric, rel=1e-5, abs=1e-6)


def test_without_support_the_gradient_is_that_of_the_query(
    make: Make, make_episodes: Callable[..., Episodes], directional: Directional
) -> None:
    learner = make("imaml", dtype=torch.float64, cg_steps=1)
    episodes = make_episodes(dtype=torch.float64)
    nobody = episodes._replace(support=episodes.support.first(0))
    analytic, numeric = directional(learner, nobody, 0)
    assert analytic == pytest.approx(numeric, rel=1e-5, abs=1e-6)
