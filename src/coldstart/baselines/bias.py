"""Baseline ``bias``: item offset plus the user's shrunk offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from coldstart.baselines._offsets import BiasParams, OffsetModel, fit_offsets
from coldstart.data.choices import Chooser
from coldstart.data.episodes import History, Support
from coldstart.models.backbone import Backbone
from coldstart.models.recommender import Prediction, State
from coldstart.params import Section


@dataclass(frozen=True)
class Bias(OffsetModel):
    """``item_i + user_u``; without any rating the user's offset comes from their attributes."""

    kind: ClassVar[str] = "bias"
    Params: ClassVar[type[Section]] = BiasParams

    @classmethod
    def fit(
        cls,
        history: History,
        backbone: Backbone,
        validation: Chooser,
        params: BiasParams,
        seed: int,
    ) -> Self:
        """Alternate; see :func:`fit_offsets`."""
        offsets = fit_offsets(history, params)
        return cls(offsets.item_N, offsets.attribute_F, params.user_damping)

    def adapt(self, support: Support) -> State:
        """The user's offset."""
        return self.offsets(support)

    def update(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """One more in the mean."""
        return self.one_more(state, items_B, targets_B)

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """Sum of both offsets."""
        return Prediction(self.item_N[items_BQ] + state["offset_B"][:, None])

    def score_catalogue(self, state: State) -> Prediction:
        """Sum of both offsets."""
        return Prediction(torch.add(self.item_N, state["offset_B"][:, None]))
