"""What the tests of every meta-learner have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from coldstart.algorithms import ALGORITHMS
from coldstart.algorithms._base import MetaLearner
from coldstart.data.episodes import Episodes, Support

Make = Callable[..., MetaLearner[Any]]
NAMES = pytest.mark.parametrize("name", sorted(ALGORITHMS))
HEADS = pytest.mark.parametrize("head", ["rating", "click"])
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


def targets_of(episodes: Episodes, head: str) -> Support:
    support = episodes.support
    if head == "rating":
        return support
    return support._replace(targets_BS=(support.targets_BS >= 4).float())


def padded(episodes: Episodes) -> Episodes:
    """The same episodes, three ratings wider on both sides; padding is no zero."""

    def wider(tensor: Tensor, value: float) -> Tensor:
        extra = torch.full((tensor.shape[0], 3), value, dtype=tensor.dtype)
        return torch.cat([tensor, extra], 1)

    support = episodes.support
    return episodes._replace(
        support=support._replace(
            items_BS=wider(support.items_BS, 7),
            targets_BS=wider(support.targets_BS, 5.0),
            mask_BS=wider(support.mask_BS, False),
        ),
        items_BQ=wider(episodes.items_BQ, 7),
        targets_BQ=wider(episodes.targets_BQ, 5.0),
        mask_BQ=wider(episodes.mask_BQ, False),
    )
