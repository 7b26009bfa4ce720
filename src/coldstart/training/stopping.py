"""What ends a training and which theta it keeps: validation users, or the steps they decided on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from coldstart.algorithms._base import MetaLearner
from coldstart.data.episodes import Episodes
from coldstart.training.listing import Lists


@dataclass(frozen=True)
class Validation:
    """Validation users, at every support size."""

    episodes: Episodes
    shots: Sequence[int]
    batch_size: int
    """Most users at once, as in training: it bounds the memory, and where a user's negatives are
    the others' items, there are as many of them."""
    lists: Lists | None = None
    """What lists are judged by, of a learner that ranks apart; None: it ranks where it predicts."""

    def loss(self, learner: MetaLearner[Any]) -> float:
        """Mean of the query loss over support sizes and users."""
        losses = []
        for k in self.shots:
            task = self.episodes._replace(support=self.episodes.support.first(k))
            losses += [
                learner.query_loss(learner.theta, task.rows(part_B), training=False)
                for part_B in self._parts
            ]
        return float(torch.cat(losses).mean())

    @cached_property
    def _parts(self) -> tuple[Tensor, ...]:
        """Rows of the users, in parts of about the same size."""
        rows_B = torch.arange(self.episodes.n_users, device=self.episodes.users_B.device)
        return rows_B.tensor_split(math.ceil(len(rows_B) / self.batch_size))


class Stops(NamedTuple):
    """The steps at which validation users found theta best; both may be 0, the start."""

    steps: int  # for what it predicts
    listing: int  # for what it ranks, where that is another matter
