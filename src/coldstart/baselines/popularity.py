"""Baseline ``popularity``: items that more users rated come first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch

from coldstart.baselines._base import Empty
from coldstart.baselines._item_scores import ItemScores
from coldstart.data.choices import Chooser
from coldstart.data.episodes import History
from coldstart.models.backbone import Backbone

SPAN = 0.01
"""Highest less lowest score, in target units: a ranking that hardly changes the predicted mean."""


@dataclass(frozen=True)
class Popularity(ItemScores):
    """Predicts the mean target, apart from a tilt of ``SPAN`` that orders the items by count."""

    kind: ClassVar[str] = "popularity"

    @classmethod
    def fit(
        cls, history: History, backbone: Backbone, validation: Chooser, params: Empty, seed: int
    ) -> Self:
        """Count ratings; items with the same count tie."""
        count_N = torch.bincount(history.items_R, minlength=history.n_items)
        level_N = torch.unique(count_N, return_inverse=True)[1].double()
        tilt_N = SPAN * level_N / level_N.max().clamp(min=1)
        mean = history.targets_R.double().mean()
        return cls((mean + tilt_N - tilt_N[history.items_R].mean()).float())
