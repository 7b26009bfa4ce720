"""The inner loop that all gradient-based meta-learners share.

A user's weights are a dictionary whose tensors have the user as first dimension, so one batched
forward and one backward pass adapt all users at once; only adapted tensors are differentiated.
What distinguishes the algorithms is the rule that turns a gradient into a step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

Weights = dict[str, Tensor]
"""Adapted tensors by name, each ``[B, ...]``."""


class Rule(Protocol):
    """Turns gradients into the next weights; may keep state over the steps of one loop."""

    def __call__(self, weights: Weights, gradients: Weights, loss_B: Tensor) -> Weights:
        """One step for all users, whose losses at ``weights`` are ``loss_B``."""
        ...


def fan_in(weight: Tensor) -> int:
    """Inputs of a layer, the second last dimension of its weights; 1 for a bias, kept as a row."""
    return max(1, weight.shape[-2])


class SGD:
    """``w - rate * g``: the inner update of MAML (Finn et al. 2017, eq. 1)."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, weights: Weights, gradients: Weights, loss_B: Tensor) -> Weights:
        """One step for all users."""
        # `add` of a negative, since the derivative of `sub` negates a tensor first
        rate = -self.rate
        return {name: torch.add(w, gradients[name], alpha=rate) for name, w in weights.items()}


class FanInSGD(SGD):
    """SGD whose rate is divided by the fan-in of a layer.

    With inputs and hidden units of unit size the loss then curves as much along one layer as along
    another, however wide they are (the parameterisation of Jacot et al. 2018): one rate is stable
    for all.
    """

    def __call__(self, weights: Weights, gradients: Weights, loss_B: Tensor) -> Weights:
        """One step for all users."""
        return {
            name: torch.add(w, gradients[name], alpha=-self.rate / fan_in(w))
            for name, w in weights.items()
        }


def descend(
    loss_of: Callable[[Weights], Tensor],
    start: Weights,
    steps: int,
    rule: Rule,
    *,
    second_order: bool,
) -> Weights:
    """Take ``steps`` steps down the loss of each user.

    Args:
        loss_of: per-user support loss ``[B]`` of weights; row b depends on row b only.
        start: where every user starts, ``[B, ...]`` each.
        steps: number of steps, the same for all users.
        rule: the update.
        second_order: keep the graph of the gradients, so that the result can be differentiated
            through the steps. Without it the steps count as constants (first-order MAML), yet
            the result still depends on ``start``.
    """
    weights = start
    names = list(start)
    with torch.enable_grad():
        for _ in range(steps):
            if second_order:
                at = weights
            else:
                at = {name: w.detach().requires_grad_() for name, w in weights.items()}
            # users are independent: the gradient of the sum holds each user's own gradient
            loss_B = loss_of(at)
            gradients = torch.autograd.grad(
                loss_B.sum(),
                [at[n] for n in names],
                create_graph=second_order,
                materialize_grads=True,
            )
            loss_B = loss_B if second_order else loss_B.detach()
            weights = rule(weights, dict(zip(names, gradients, strict=True)), loss_B)
    return weights
