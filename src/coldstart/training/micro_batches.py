"""The meta-gradient of a batch, taken in parts and, if asked for, in mixed precision.

Parts bound memory: what second-order methods keep for the backward pass grows with the users that
adapt at once. A meta-gradient is a mean over users, so the parts' means, weighted by their share of
the users, sum to that of the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from coldstart.algorithms._base import MetaLearner, Theta
from coldstart.data.episodes import Episodes
from coldstart.params import LoopParams


def batch_gradient(
    learner: MetaLearner[Any], theta: Theta, episodes: Episodes, params: LoopParams
) -> tuple[Tensor, Theta]:
    """Mean loss of the batch and its meta-gradient, both float32 whatever the precision.

    Equal to ``learner.meta_gradient`` of all episodes up to rounding where the learner's users are
    independent; otherwise each part is a smaller batch. In bf16 matrix products round their factors
    to bfloat16 and the rest stays float32 (autocast); ``mixed_precision`` exempts a learner that
    solves linear systems.
    """
    mixed = params.precision == "bf16" and learner.mixed_precision
    total = torch.zeros((), device=episodes.items_BQ.device)
    sums: Theta = {}
    for part in _parts(episodes, params.accumulate):
        with _rounded(total.device) if mixed else nullcontext():
            loss, gradients = learner.meta_gradient(theta, part)
        share = part.n_users / episodes.n_users
        total = total + share * loss
        sums = {name: share * g + sums.get(name, 0.0) for name, g in gradients.items()}
    return total, sums


def _rounded(device: torch.device) -> torch.autocast:
    # no cache: it would hand a cast made without a graph to a pass that needs one
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def _parts(episodes: Episodes, number: int) -> Iterator[Episodes]:
    """Consecutive users in ``number`` parts, whose sizes differ by one at most."""
    edges = [episodes.n_users * i // number for i in range(number + 1)]
    for start, end in pairwise(edges):
        if end > start:
            yield episodes.rows(slice(start, end))
