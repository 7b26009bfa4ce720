from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from coldstart.algorithms._base import MetaLearner
from coldstart.algorithms._inner_loop import SGD
from coldstart.algorithms._interpolation import join
from coldstart.algorithms.reptile import Reptile
from coldstart.data.episodes import Episodes

Make = Callable[..., MetaLearner[Any]]


def test_update_is_the_closed_form_on_a_quadratic(
    make: Make, make_episodes: Callable[..., Episodes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a linear model and SGD, phi is known: w - (I - (I - a H)^k)(w - w*)."""
    learner = make("reptile", dtype=torch.float64, adapt="head", noise=0.0, shrinkage=0.0)
    assert isinstance(learner, Reptile)
    monkeypatch.setattr(learner, "rule", lambda *_: SGD(0.05))
    episodes = make_episodes(dtype=torch.float64)
    loss, change = learner.meta_gradient(learner.theta, episodes)

    support = join(episodes).support
    steps = learner.params.inner_steps
    moves = []
    for user in range(episodes.n_users):
        rated = support.mask_BS[user]
        items, table = support.items_BS[user][rated], support.crossfit_B[user]
        items_1I = items.unsqueeze(0)
        offset = learner.score_with(
            learner.theta,
            learner.adapt_with(learner.theta, support.first(0), training=False),
            items_1I.expand(episodes.n_users, -1),
            table.expand(episodes.n_users),
        ).mean[user]
        x_ID = learner.backbone.features_CND[table, items]
        # the score is linear in skip, the constant b3 and, through fixed hidden units, in w3
        hidden = _hidden(learner, items, int(table), support.users_BF[user])
        design = torch.cat([x_ID, hidden, torch.ones(len(items), 1)], 1).double()
        hessian = 2 * design.T @ design / len(items)
        slope = 2 * design.T @ (offset - support.targets_BS[user][rated]) / len(items)
        weights = torch.zeros(design.shape[1], dtype=torch.float64)
        for _ in range(steps):
            weights = weights - 0.05 * (hessian @ weights + slope)
        moves.append(weights)
    expected = -torch.stack(moves).mean(0)
    actual = torch.cat([change[n].flatten() for n in ("skip_1D", "w3_H1", "b3_11")])
    torch.testing.assert_close(actual, expected)
    assert change["w1_DH"].count_nonzero() == 0
    assert loss.isfinite()


def _hidden(
    learner: Reptile, items: torch.Tensor, table: int, users_F: torch.Tensor
) -> torch.Tensor:
    features_CND, theta = learner.backbone.features_CND, learner.theta
    share_N = learner.backbone.count_CN[0] / learner.backbone.count_CN[0].sum()
    mean = share_N @ features_CND[0]
    std = (share_N @ (features_CND[0] - mean).square()).sqrt()
    x = (features_CND[table, items] - mean) / torch.where(std > 1e-6, std, 1.0)
    assert (x.norm(dim=1) < 2 * x.shape[1] ** 0.5).all()  # none is pulled in
    h = torch.relu(x @ theta["w1_DH"] + users_F @ theta["w1_FH"] + theta["b1_1H"])
    return torch.relu(h @ theta["w2_HH"] + theta["b2_1H"])


def test_a_step_of_eps_moves_theta_towards_the_mean_of_phi(make: Make, episodes: Episodes) -> None:
    learner = make("reptile", outer_rate=0.5)
    state = learner.adapt_with(learner.theta, join(episodes).support, training=False)
    _, change = learner.meta_gradient(learner.theta, episodes)
    values = {name: value.clone() for name, value in learner.theta.items()}
    optimiser = learner.outer_optimiser(values.values())
    for name, value in values.items():
        value.grad = change[name]
    optimiser.step()
    for name in ("w1_DH", "skip_1D", "b3_11"):
        expected = learner.theta[name] + 0.5 * (state[name].mean(0) - learner.theta[name])
        torch.testing.assert_close(values[name], expected)


def test_eps_falls_to_zero(make: Make) -> None:
    learner = make("reptile", outer_rate=0.8)
    rates = [learner.outer_rate(step, 4) for step in (1, 2, 3, 4)]
    assert rates == pytest.approx([0.8, 0.6, 0.4, 0.2])
