"""One more rating of each user: a step of the user's own weights, without looking back.

The loss is the inner loop's on that rating alone, the step one of three rules: SGD as in the inner
loop, Adagrad (Duchi, Hazan & Singer 2011) or Adam (Kingma & Ba 2015), whose steps depend on what
the user's earlier gradients were. What a rule remembers is part of the user's state, so that
whoever holds the state can go on. Adagrad and Adam measure a coordinate by its own gradients: the
inner loop's division by a layer's fan-in has nothing to do there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from coldstart.algorithms._inner_loop import FanInSGD, Rule, Weights, descend
from coldstart.models.recommender import State

RuleName = Literal["sgd", "adagrad", "adam"]
_MEMORY = "online."
"""Prefix, in the state, of what a rule remembers."""


class OnlineRule(Rule, Protocol):
    """A rule whose state outlives one loop."""

    memory: Weights  # [B, ...] each; empty before the first rating


class OnlineSGD(FanInSGD):
    """The inner loop's step; it remembers nothing."""

    def __init__(self, rate: float, memory: Weights) -> None:
        super().__init__(rate)
        self.memory = memory


class Adagrad:
    """``s <- s + g^2; w <- w - rate g / (sqrt(s) + 1e-10)``."""

    least: ClassVar[float] = 1e-10

    def __init__(self, rate: float, memory: Weights) -> None:
        self.rate, self.memory = rate, memory

    def __call__(self, weights: Weights, gradients: Weights, loss_B: Tensor) -> Weights:
        """One step for all users."""
        del loss_B
        sums = {n: self.memory.get(f"{n}.sum", 0.0) + g.square() for n, g in gradients.items()}
        self.memory = {f"{n}.sum": value for n, value in sums.items()}
        return {
            n: w - self.rate * gradients[n] / (sums[n].sqrt() + self.least)
            for n, w in weights.items()
        }


class Adam:
    """Bias-corrected means of gradients and of their squares, decay .9 and .999."""

    decay: ClassVar[tuple[float, float]] = (0.9, 0.999)
    least: ClassVar[float] = 1e-8

    def __init__(self, rate: float, memory: Weights) -> None:
        self.rate, self.memory = rate, memory

    def __call__(self, weights: Weights, gradients: Weights, loss_B: Tensor) -> Weights:
        """One step for all users, each of whom has taken as many as the state says."""
        steps_B = self.memory.get("steps", torch.zeros_like(loss_B)) + 1
        memory = {"steps": steps_B}
        moved = {}
        for name, weight in weights.items():
            g = gradients[name]
            first, second = (
                beta * self.memory.get(f"{name}.{order}", torch.zeros_like(g)) + (1 - beta) * power
                for order, beta, power in zip(
                    ("mean", "square"), self.decay, (g, g * g), strict=True
                )
            )
            memory |= {f"{name}.mean": first, f"{name}.square": second}
            bias_1, bias_2 = (
                (1 - beta**steps_B).reshape(-1, *[1] * (g.dim() - 1)) for beta in self.decay
            )
            size = (second / bias_2).sqrt() + self.least
            moved[name] = weight - self.rate * (first / bias_1) / size
        self.memory = memory
        return moved


RULES: dict[RuleName, Callable[[float, Weights], OnlineRule]] = {
    "sgd": OnlineSGD,
    "adagrad": Adagrad,
    "adam": Adam,
}


def online_step(
    loss_of: Callable[[Weights], Tensor],
    state: State,
    names: tuple[str, ...],
    rule: RuleName,
    rate: float,
) -> State:
    """The state after one step down the loss of each user's newest rating.

    Args:
        loss_of: that loss, ``[B]`` of weights.
        state: of ``B`` users; what the rule remembers of them is in it, if anything.
        names: the entries of ``state`` that are the user's own weights.
        rule: a key of ``RULES``; the same for all ratings of a user.
        rate: step size of the rule.
    """
    recalled = {n.removeprefix(_MEMORY): v for n, v in state.items() if n.startswith(_MEMORY)}
    step = RULES[rule](rate, recalled)
    weights = descend(loss_of, {n: state[n] for n in names}, 1, step, second_order=False)
    return state | weights | {_MEMORY + name: value for name, value in step.memory.items()}
