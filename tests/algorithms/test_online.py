"""Online steps: by hand, against torch's optimisers, and on learners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from coldstart.algorithms import ALGORITHMS
from coldstart.algorithms._base import MetaLearner
from coldstart.algorithms._gradient import GradientLearner
from coldstart.algorithms._inner_loop import Weights
from coldstart.algorithms._online import RULES, RuleName, online_step
from coldstart.data.episodes import Episodes, Support

Make = Callable[..., MetaLearner[Any]]
NAMES = sorted(name for name, kind in ALGORITHMS.items() if issubclass(kind, GradientLearner))
RATE = 0.1


def _loss(x_BD: Tensor, y_B: Tensor) -> Callable[[Weights], Tensor]:
    """Squared error of a linear model whose weights are a row and whose bias is one by one."""
    return lambda weights: (
        ((weights["w_1D"][:, 0] * x_BD).sum(1) + weights["b_11"][:, 0, 0] - y_B) ** 2
    )


def _stream(steps: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    draw = {"generator": generator, "dtype": torch.float64}
    return [(torch.randn(3, 4, **draw), torch.randn(3, **draw)) for _ in range(steps)]


def _start() -> Weights:
    return {
        "w_1D": torch.zeros(3, 1, 4, dtype=torch.float64),
        "b_11": torch.ones(3, 1, 1, dtype=torch.float64),
    }


def test_one_step_of_sgd_by_hand() -> None:
    """``d (w x + b - y)^2 = 2 (0 + 1 - 3) (x, 1)``."""
    x_BD, y_B = torch.tensor([[1.0, 0.0, 2.0, 0.0]]), torch.tensor([3.0])
    start = {"w_1D": torch.zeros(1, 1, 4), "b_11": torch.ones(1, 1, 1)}
    state = online_step(_loss(x_BD, y_B), start, ("w_1D", "b_11"), "sgd", RATE)
    torch.testing.assert_close(state["w_1D"], torch.tensor([[[0.4, 0.0, 0.8, 0.0]]]))
    torch.testing.assert_close(state["b_11"], torch.tensor([[[1.4]]]))
    assert state.keys() == start.keys()


@pytest.mark.parametrize(
    ("rule", "optimiser"),
    [("sgd", torch.optim.SGD), ("adagrad", torch.optim.Adagrad), ("adam", torch.optim.Adam)],
)
def test_a_stream_of_steps_is_that_of_torch(rule: RuleName, optimiser: Any) -> None:
    state, stream = _start(), _stream(6)
    for x_BD, y_B in stream:
        state = online_step(_loss(x_BD, y_B), state, ("w_1D", "b_11"), rule, RATE)
    for user in range(3):
        own = {name: value[user : user + 1].clone() for name, value in _start().items()}
        steps = optimiser([value.requires_grad_() for value in own.values()], lr=RATE)
        for x_BD, y_B in stream:
            steps.zero_grad()
            part = slice(user, user + 1)
            _loss(x_BD[part], y_B[part])(own).sum().backward()
            steps.step()
        for name, value in own.items():
            torch.testing.assert_close(state[name][user : user + 1], value.detach())


@pytest.mark.parametrize("rule", sorted(RULES))
def test_users_who_have_seen_a_different_number_of_ratings_share_a_batch(rule: RuleName) -> None:
    (x_BD, y_B), (later_BD, late_B) = _stream(2)
    names = ("w_1D", "b_11")
    state = online_step(_loss(x_BD, y_B), _start(), names, rule, RATE)
    fresh = {name: torch.zeros_like(value) for name, value in state.items()} | _start()
    mixed = {name: torch.cat([state[name][:1], fresh[name][1:]]) for name in state}
    found = online_step(_loss(later_BD, late_B), mixed, names, rule, RATE)
    experienced = online_step(_loss(later_BD, late_B), state, names, rule, RATE)
    beginner = online_step(_loss(later_BD, late_B), _start(), names, rule, RATE)
    for name in state:
        torch.testing.assert_close(found[name][:1], experienced[name][:1])
        torch.testing.assert_close(found[name][1:], beginner[name][1:])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_learner_goes_down_the_newest_rating(
    make: Make, make_episodes: Callable[..., Episodes], name: str, rule: RuleName
) -> None:
    """Steps so small that no curvature matters, hence double precision."""
    learner, episodes = make(name, dtype=torch.float64), make_episodes(dtype=torch.float64)
    assert isinstance(learner, GradientLearner)
    state = learner.adapt(episodes.support)
    items_B, targets_B = episodes.items_BQ[:, 0], episodes.targets_BQ[:, 0]

    one = Support(
        items_B.unsqueeze(1),
        targets_B.unsqueeze(1),
        torch.ones_like(items_B.unsqueeze(1), dtype=torch.bool),
        episodes.support.users_BF,
        torch.zeros_like(items_B),
    )
    loss = learner.inner_loss(learner.theta, one)  # with metaprox and imaml also the way to theta
    before = {key: value.clone() for key, value in state.items()}
    after = learner.update(state, items_B, targets_B, rule, rate=1e-6)
    own_before, own_after = ({n: s[n] for n in learner._adapted} for s in (state, after))
    assert (loss(own_after) < loss(own_before)).all()
    for key, value in state.items():
        assert torch.equal(value, before[key])
    ranked = learner.score_catalogue({key: value[1:3] for key, value in after.items()}).mean
    torch.testing.assert_close(ranked, learner.score_catalogue(after).mean[1:3])


def test_from_nothing_one_online_step_is_one_inner_step(make: Make, episodes: Episodes) -> None:
    learner = make("maml", inner_steps=1)
    assert isinstance(learner, GradientLearner)
    support = episodes.support.rows(slice(1, None))
    one: Support = support.first(1)
    online = learner.update(
        learner.adapt(support.first(0)), one.items_BS[:, 0], one.targets_BS[:, 0]
    )
    for key, value in learner.adapt(one).items():
        torch.testing.assert_close(online[key], value)
