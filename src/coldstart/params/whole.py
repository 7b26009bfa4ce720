"""The whole of ``params.yaml``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from coldstart.params.data import DataParams, PrepareParams, ValidateParams
from coldstart.params.evaluation import EvaluateParams, GateParams, Goal
from coldstart.params.pretrain import PretrainParams
from coldstart.params.section import Section, Seed
from coldstart.params.training import MetaTrainParams, Tuned, TuneParams

TunedGroup = Literal["pretrain", "baselines", "algorithms", "combine"]


class Params(Section):
    """The whole of ``params.yaml``."""

    seed: Seed = Field(
        description="Seed of the split and of everything that is not a training seed."
    )
    threads: int = Field(
        ge=1,
        le=256,
        description="Threads of each stage; part of the result, since sums depend on it.",
    )
    device: Literal["cpu", "cuda"] = Field(
        description="Where meta-training runs; only 'cpu' is bit-exact."
    )
    protocol: Literal["coldstart", "metarec"] = Field(
        description="coldstart: ours. metarec: the legacy one of RecBole-MetaRec, which only "
        "`coldstart leaderboard` knows, fitting as it goes; no stage runs and nothing is promoted."
    )
    head: Literal["rating", "click", "ranking"] = Field(
        description="rating: rating points (MSE); click: probability of a like (cross-entropy); "
        "ranking: likes above sampled negatives (softmax)."
    )
    goal: Goal = Field(
        description="What a champion is chosen by, as a mean over all shots. list: list_recall@10; "
        "rating: rmse, with head: rating; click: log_loss, with head: click."
    )
    data: DataParams
    validate_: ValidateParams = Field(alias="validate")
    prepare: PrepareParams
    pretrain: PretrainParams
    baselines: dict[str, dict[str, Any]] = Field(
        description="One section per baseline, checked by its owner."
    )
    meta_train: MetaTrainParams
    algorithms: dict[str, dict[str, Any]] = Field(
        description="One section per algorithm, checked by its owner."
    )
    combine: dict[str, dict[str, Any]] = Field(
        description="One section per combination, checked by its owner; without one it is not made."
    )
    tune: TuneParams
    tuned: dict[TunedGroup, dict[str, Tuned]] = Field(
        description="What `coldstart tune` chose, by section; `coldstart params --check` compares."
    )
    evaluate: EvaluateParams
    gate: GateParams
    effort: dict[Literal["quick", "standard", "full"], dict[str, Any]] = Field(
        description="Overlays on the sections above, chosen in the form or by --effort."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Params:
        for name in self.meta_train.algorithms:
            if name not in self.algorithms:
                raise ValueError(
                    f"meta_train.algorithms: {name!r} is not one of {sorted(self.algorithms)}"
                )
        if self.goal not in ("list", self.head):
            raise ValueError(
                f"goal: {self.goal} does not go with head: {self.head}, which predicts no such "
                "thing; set both the same, or goal: list"
            )
        if not self.data.rated and self.head == "rating":
            raise ValueError(
                "head: rating needs ratings, and data.min_rating is null; choose ranking, or click"
            )
        number = self.meta_train.negatives.number
        if not self.data.rated and number == 0:
            raise ValueError(
                "meta_train.negatives.number: 0 leaves nothing that is not liked, since "
                "data.min_rating is null and there are no ratings; choose 4, say"
            )
        if self.head == ("rating" if number else "ranking"):
            raise ValueError(
                f"meta_train.negatives.number: {number} does not go with head: {self.head}; "
                "ranking needs at least 1, rating 0: an unrated item has no rating"
            )
        return self
