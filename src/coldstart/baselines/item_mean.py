"""Baseline ``item_mean``: each item's mean target, shrunk to the global mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from pydantic import Field

from coldstart.baselines.item_scores import ItemScores
from coldstart.data.episodes import Episodes, History
from coldstart.models.backbone import Backbone
from coldstart.params import Section


class ItemMeanParams(Section):
    """Shrinkage."""

    damping: float = Field(gt=0, description="Imagined ratings of each item at the global mean.")


@dataclass(frozen=True)
class ItemMean(ItemScores):
    """``(sum of targets + damping * mean) / (count + damping)``; a cold item gets the mean."""

    kind: ClassVar[str] = "item_mean"
    Params: ClassVar[type[Section]] = ItemMeanParams

    @classmethod
    def fit(
        cls,
        history: History,
        backbone: Backbone,
        validation: Episodes,
        params: ItemMeanParams,
        seed: int,
    ) -> Self:
        """Average."""
        targets_R = history.targets_R.double()
        count_N = torch.bincount(history.items_R, minlength=history.n_items)
        sum_N = torch.bincount(history.items_R, targets_R, minlength=history.n_items)
        return cls(
            ((sum_N + params.damping * targets_R.mean()) / (count_N + params.damping)).float()
        )
