from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from coldstart.algorithms._base import MetaLearner
from coldstart.algorithms._inner_loop import FanInSGD, Weights, descend
from coldstart.algorithms._network import subset
from coldstart.algorithms.meta_lstm import LSTMRule, preprocess
from coldstart.data.episodes import Episodes

Make = Callable[..., MetaLearner[Any]]
SUBSETS = ["head", "decision", "all", "lora", "film"]
GATES = ("input_gate_G", "forget_gate_G")


def _constant(value: float) -> torch.Tensor:
    """A gate that is ``value`` whatever it sees; 1 for a bias of 50, to the last bit."""
    bias = 50.0 if value == 1 else math.log(value / (1 - value))
    return torch.tensor([0.0] * 6 + [bias], dtype=torch.float64)


@pytest.mark.parametrize("adapt", SUBSETS)
def test_with_full_memory_and_a_constant_input_gate_it_is_sgd(
    make: Make, make_episodes: Callable[..., Episodes], adapt: str
) -> None:
    cell = make("meta_lstm", dtype=torch.float64, adapt=adapt, inner_steps=3)
    sgd = make("maml", dtype=torch.float64, adapt=adapt, inner_steps=3, inner_rate=0.05)
    gates = {"input_gate_G": _constant(0.05), "forget_gate_G": _constant(1.0)}
    shared = {name: value for name, value in cell.theta.items() if name not in GATES}
    support = make_episodes(dtype=torch.float64).support
    ours = cell.with_theta(shared | gates).adapt(support)
    theirs = sgd.with_theta(shared).adapt(support)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-12, atol=1e-14)


def test_two_steps_by_hand() -> None:
    """One coordinate, loss 3 w^2 / 2, gates that read everything."""
    gates = {
        "input": [0.3, -0.2, 0.5, 0.1, 0.4, 0.7, -1.0],
        "forget": [-0.4, 0.6, 0.2, -0.3, 0.1, 0.5, 2.0],
    }
    w, former = 0.8, {"input": 0.0, "forget": 0.0}
    for _ in range(2):
        gradient, loss = 3 * w, 1.5 * w * w
        x = [math.log(abs(gradient)) / 10, math.copysign(1, gradient), math.log(loss) / 10, 1, w]
        for gate, weights in gates.items():
            total = sum(a * b for a, b in zip(weights, [*x, former[gate], 1.0], strict=True))
            former[gate] = 1 / (1 + math.exp(-total))
        forget = 1 - 0.25 * (1 - former["forget"])
        w = forget * w - former["input"] * gradient

    def loss_of(weights: Weights) -> torch.Tensor:
        return 1.5 * weights["w"].square().sum((1, 2))

    rule = LSTMRule(
        *(torch.tensor(values, dtype=torch.float64) for values in gates.values()),
        torch.tensor([0.25], dtype=torch.float64),
    )
    start = {"w": torch.full((1, 1, 1), 0.8, dtype=torch.float64)}
    assert descend(loss_of, start, 2, rule, second_order=False)["w"].item() == pytest.approx(w)


def test_preprocessing_is_the_papers() -> None:
    tiny = math.exp(-10)
    size, sign = preprocess(torch.tensor([math.e, -math.e, 1.0, tiny / 2, -tiny / 4, 0.0]))
    torch.testing.assert_close(size, torch.tensor([0.1, 0.1, 0.0, -1.0, -1.0, -1.0]))
    torch.testing.assert_close(sign, torch.tensor([1.0, -1.0, 1.0, 0.5, -0.25, 0.0]))


@pytest.mark.parametrize("head", ["rating", "click"])
def test_gradient_of_the_gates_equals_finite_differences(
    make: Make, make_episodes: Callable[..., Episodes], head: str
) -> None:
    """Exact at one step: the first gradient and loss do not depend on the gates."""
    learner = make("meta_lstm", dtype=torch.float64, head=head, inner_steps=1)
    episodes = make_episodes(head, dtype=torch.float64)
    _, gradients = learner.meta_gradient(learner.theta, episodes)
    for gate in GATES:
        for k in (0, 1, 2, 3, 4, 6):  # 5 reads the former gate, of which there is none
            losses = []
            for size in (1e-6, -1e-6):
                moved = learner.theta[gate].clone()
                moved[k] += size
                theta = learner.theta | {gate: moved}
                losses.append(float(learner.query_loss(theta, episodes, training=False).mean()))
            numeric = (losses[0] - losses[1]) / 2e-6
            assert float(gradients[gate][k]) == pytest.approx(numeric, rel=1e-5, abs=1e-9)


def test_gradient_through_the_steps_where_inputs_are_constant() -> None:
    """A linear loss has the same gradient everywhere, so first order is exact in the start."""
    slope_B11 = torch.tensor([0.7, -1.3], dtype=torch.float64)[:, None, None]
    generator = torch.Generator().manual_seed(0)
    gates = 0.3 * torch.randn(2, 7, generator=generator, dtype=torch.float64)
    gates[:, 2:4] = 0.0  # the loss itself is not constant
    gates.requires_grad_()

    def end(gates_2G: torch.Tensor) -> torch.Tensor:
        rule = LSTMRule(*gates_2G, torch.ones(2, dtype=torch.float64))
        start = {"w": torch.full((2, 1, 1), 0.4, dtype=torch.float64)}
        return descend(
            lambda w: (slope_B11 * w["w"]).sum((1, 2)), start, 4, rule, second_order=False
        )["w"]

    assert torch.autograd.gradcheck(end, gates)


@pytest.mark.parametrize("adapt", SUBSETS)
def test_without_ratings_nothing_is_forgotten(make: Make, episodes: Episodes, adapt: str) -> None:
    learner = make("meta_lstm", adapt=adapt)
    state = learner.adapt(episodes.support)
    for name in subset(adapt):  # type: ignore[arg-type]
        assert torch.equal(state[name][0], learner.theta[name])  # user 0 has no support
        if learner.theta[name].shape != (1, 1):
            assert not torch.equal(state[name][-1], learner.theta[name])


def test_a_fan_in_divides_the_step() -> None:
    rule = LSTMRule(_constant(0.5), _constant(1.0), torch.ones(2, dtype=torch.float64))
    weights = {"w": torch.ones(2, 4, 3, dtype=torch.float64)}
    end = rule(weights, {"w": torch.ones(2, 4, 3, dtype=torch.float64)}, torch.ones(2).double())
    expected = FanInSGD(0.5)(weights, {"w": weights["w"]}, torch.ones(2))
    torch.testing.assert_close(end["w"], expected["w"])
