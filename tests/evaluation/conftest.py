"""Recommenders whose results are known beforehand, and what they are judged on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
import torch
from torch import Tensor

from coldstart.data.episodes import Support
from coldstart.data.prepared import Prepared
from coldstart.evaluation.evaluation_set import EvaluationSet, evaluation_set
from coldstart.models.bundle import Bundle
from coldstart.models.recommender import Prediction, Recommender, State
from coldstart.params import DataParams, Params, PrepareParams, load_params

ROOT = Path(__file__).parents[2]


class Fixed(Recommender):
    """Predicts a number per item, moved by the mean residual of the support."""

    kind: ClassVar[str] = "fixed"

    def __init__(self, scores_N: Tensor, adapts: bool = False, variance: float = 0.0) -> None:
        self.scores_N = scores_N
        self.adapts = adapts
        self.variance = variance
        self.n_items = len(scores_N)

    def adapt(self, support: Support) -> State:
        residual_BS = (support.targets_BS - self.scores_N[support.items_BS]) * support.mask_BS
        shift_B = residual_BS.sum(1) / (support.mask_BS.sum(1) + 2) * self.adapts
        return {"shift_B": shift_B}

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        mean_BQ = self.scores_N[items_BQ] + state["shift_B"][:, None]
        return Prediction(
            mean_BQ, torch.full_like(mean_BQ, self.variance) if self.variance else None
        )

    def score_catalogue(self, state: State) -> Prediction:
        return self.score(state, torch.arange(self.n_items).expand(len(state["shift_B"]), -1))

    def tensors(self) -> dict[str, Tensor]:
        return {"scores_N": self.scores_N}

    def config(self) -> dict[str, Any]:
        return {"adapts": self.adapts, "variance": self.variance}

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        return cls(**bundle.tensors, **bundle.config)


@pytest.fixture(scope="session")
def params(data_params: DataParams, prepare_params: PrepareParams) -> Params:
    """The committed params on the dataset ``tiny``."""
    base = load_params(ROOT / "params.yaml")
    quick = base.evaluate.model_copy(update={"resamples": 500, "min_segment": 5})
    update = {"data": data_params, "prepare": prepare_params, "evaluate": quick}
    return base.model_copy(update=update)


@pytest.fixture(scope="session")
def cold(prepared: Prepared, params: Params) -> EvaluationSet:
    """The cold users of fold 0 of ``tiny``."""
    return evaluation_set(prepared, params, 0, "cold")


@pytest.fixture(scope="session")
def item_means(prepared: Prepared) -> Tensor:
    """Damped, in the unit of fold 0."""
    history = prepared.history(0)
    total_N = torch.zeros(history.n_items).index_add(0, history.items_R, history.targets_R)
    count_N = torch.bincount(history.items_R, minlength=history.n_items)
    return total_N / (count_N + 2)
