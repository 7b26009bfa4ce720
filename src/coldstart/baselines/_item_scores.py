"""Scores that are the same for every user."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from coldstart.baselines._base import ItemTable
from coldstart.data.episodes import Support
from coldstart.models.recommender import Prediction, State


@dataclass(frozen=True)
class ItemScores(ItemTable):
    """Not personal: adapting remembers only how many users there are."""

    def adapt(self, support: Support) -> State:
        """Nothing is learnt from the support."""
        return {"nothing_B0": support.users_BF[:, :0]}

    def update(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """Nothing is learnt from a rating either."""
        return state

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """The items' scores."""
        return Prediction(self.item_N[items_BQ])

    def score_catalogue(self, state: State) -> Prediction:
        """The same row for every user."""
        return Prediction(self.item_N.expand(len(state["nothing_B0"]), -1))
