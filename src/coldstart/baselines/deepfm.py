"""Baseline ``deepfm``: a DeepFM as it is, without adaptation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from coldstart.baselines._base import ItemTable
from coldstart.data.choices import Chooser
from coldstart.data.episodes import History, Support
from coldstart.models.backbone import Backbone
from coldstart.models.deepfm import DeepFM, fit_deepfm
from coldstart.models.recommender import Prediction, State
from coldstart.params import DeepFMParams, Section


@dataclass(frozen=True)
class DeepFMBaseline(ItemTable):
    """Knows a new user by their attributes: no rating of theirs changes anything.

    What pretraining alone is worth, and what adapting adds. See :mod:`coldstart.models.deepfm`.
    """

    kind: ClassVar[str] = "deepfm"
    Params: ClassVar[type[Section]] = DeepFMParams
    features_NE: Tensor
    hidden_NH: Tensor
    user_FD: Tensor
    user_FH: Tensor
    middle_HH: Tensor
    middle_H: Tensor
    output_H: Tensor

    @classmethod
    def fit(
        cls,
        history: History,
        backbone: Backbone,
        validation: Chooser,
        params: DeepFMParams,
        seed: int,
    ) -> Self:
        """AdamW; see :func:`fit_deepfm`."""
        return cls(**fit_deepfm(history, validation, params, seed, "deepfm epochs")._asdict())

    def adapt(self, support: Support) -> State:
        """The user's attributes."""
        return {"users_BF": support.users_BF}

    def update(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """A rating changes nothing."""
        return state

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """The model's prediction."""
        return Prediction(self._model.score(state["users_BF"], items_BQ))

    def score_catalogue(self, state: State) -> Prediction:
        """The model's prediction."""
        return Prediction(self._model.score(state["users_BF"], torch.arange(self.n_items)))

    @property
    def _model(self) -> DeepFM:
        return DeepFM(**self.tensors())
