"""Outer updates that move theta towards where users' own training leads; no query is held out.

Legend: B users, S support, Q query.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import torch
from pydantic import Field
from torch import Tensor

from coldstart.algorithms._base import Theta
from coldstart.algorithms._gradient import GradientLearner, InnerParams
from coldstart.data.episodes import Episodes
from coldstart.params import search


class InterpolationParams(InnerParams):
    """The same, moved by plain steps, whose natural size is 1."""

    outer_rate: float = Field(
        gt=0,
        le=1,
        json_schema_extra=search(0.05, 1, log=True),
        description="Eps: how far theta moves towards the adapted weights at the first step.",
    )


I = TypeVar("I", bound=InterpolationParams)  # noqa: E741 - as P and G beside it


class Interpolation(GradientLearner[I]):
    """theta <- theta + eps * mean over users (phi - theta), phi a user's adapted weights."""

    def outer_optimiser(self, values: Iterable[Tensor]) -> torch.optim.Optimizer:
        """Plain steps: with gradient ``theta - mean phi``, a step of eps is the update."""
        return torch.optim.SGD(values, lr=self.outer_rate(1, 1))

    def outer_rate(self, step: int, max_steps: int) -> float:
        """Eps, linearly from ``outer_rate`` at the first step to 0 after the last."""
        return self.params.outer_rate * (1 - (step - 1) / max_steps)

    def meta_gradient(self, theta: Theta, episodes: Episodes) -> tuple[Tensor, Theta]:
        """The query loss after adapting, and ``theta - mean phi`` (zero where nothing adapts).

        The loss is that of the support alone, as in evaluation; phi has seen support and query.
        """
        everything = join(episodes)
        state = self.adapt_with(theta, everything.support, training=False)
        loss = self.query_loss(theta, episodes, training=False).mean()
        change = {
            name: value - state[name].mean(0) if name in state else torch.zeros_like(value)
            for name, value in theta.items()
        }
        return loss, change


def join(episodes: Episodes) -> Episodes:
    """The same tasks with the query appended to the support."""
    support = episodes.support
    joined = support._replace(
        items_BS=torch.cat([support.items_BS, episodes.items_BQ], 1),
        targets_BS=torch.cat([support.targets_BS, episodes.targets_BQ], 1),
        mask_BS=torch.cat([support.mask_BS, episodes.mask_BQ], 1),
    )
    return episodes._replace(support=joined)
