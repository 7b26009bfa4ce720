"""Baseline ``constant``: the mean target for every item, a canary without any ranking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch

from coldstart.baselines._base import Empty
from coldstart.baselines._item_scores import ItemScores
from coldstart.data.choices import Chooser
from coldstart.data.episodes import History
from coldstart.models.backbone import Backbone


@dataclass(frozen=True)
class Constant(ItemScores):
    """Its AUC is one half, since ties are broken at random."""

    kind: ClassVar[str] = "constant"

    @classmethod
    def fit(
        cls, history: History, backbone: Backbone, validation: Chooser, params: Empty, seed: int
    ) -> Self:
        """Take the mean of all ratings, which no other constant beats in squared error."""
        return cls(torch.full((history.n_items,), float(history.targets_R.double().mean())))
