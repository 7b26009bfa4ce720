"""Baseline ``bias``: item offset plus the user's shrunk offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from coldstart.baselines.base import Baseline
from coldstart.baselines.offsets import fit_offsets, user_offset
from coldstart.data.episodes import Episodes, History, Support
from coldstart.models.backbone import Backbone
from coldstart.models.recommender import Prediction, State
from coldstart.params import Section, search


class BiasParams(Section):
    """Shrinkage."""

    item_damping: float = Field(
        gt=0,
        json_schema_extra=search(0.5, 20, log=True),
        description="Imagined ratings of each item at the mean.",
    )
    user_damping: float = Field(
        gt=0,
        json_schema_extra=search(1, 20, log=True),
        description="Imagined ratings of each user at the offset their attributes predict.",
    )
    attribute_penalty: float = Field(
        gt=0,
        json_schema_extra=search(5, 500, log=True),
        description="Ridge penalty of the regression of users' offsets on their attributes.",
    )


@dataclass(frozen=True)
class Bias(Baseline):
    """``item_i + user_u``; without any rating the user's offset comes from their attributes."""

    kind: ClassVar[str] = "bias"
    Params: ClassVar[type[Section]] = BiasParams
    item_N: Tensor
    attribute_F: Tensor
    user_damping: float

    @property
    def n_items(self) -> int:  # type: ignore[override]
        """Length of the catalogue."""
        return len(self.item_N)

    @classmethod
    def fit(
        cls,
        history: History,
        backbone: Backbone,
        validation: Episodes,
        params: BiasParams,
        seed: int,
    ) -> Self:
        """Alternate; see :func:`fit_offsets`."""
        offsets = fit_offsets(
            history, params.item_damping, params.user_damping, params.attribute_penalty
        )
        return cls(offsets.item_N, offsets.attribute_F, params.user_damping)

    def adapt(self, support: Support) -> State:
        """The user's offset."""
        prior_B = support.users_BF @ self.attribute_F
        offset_B = user_offset(support, self.item_N, prior_B, self.user_damping)
        return {"offset_B": offset_B.float()}

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """Sum of both offsets."""
        return Prediction(self.item_N[items_BQ] + state["offset_B"][:, None])

    def score_catalogue(self, state: State) -> Prediction:
        """Sum of both offsets."""
        return Prediction(torch.add(self.item_N, state["offset_B"][:, None]))
