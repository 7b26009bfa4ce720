"""Baseline ``ridge``: fold a new user into the backbone's item features, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from pydantic import Field

from coldstart.baselines._posterior import LinearPosterior
from coldstart.data.choices import Chooser
from coldstart.data.episodes import History
from coldstart.models.backbone import Backbone
from coldstart.params import Section, search


class RidgeParams(Section):
    """Shrinkage around the prior mean that the user's attributes give."""

    bias_penalty: float = Field(
        gt=0,
        json_schema_extra=search(1, 20, log=True),
        description="Penalty of the weight of the constant feature.",
    )
    factor_penalty: float = Field(
        gt=0,
        json_schema_extra=search(1, 50, log=True),
        description="Penalty of the weights of the other features.",
    )


@dataclass(frozen=True)
class Ridge(LinearPosterior):
    """Ridge regression of a user's ratings on the backbone's item features."""

    kind: ClassVar[str] = "ridge"
    Params: ClassVar[type[Section]] = RidgeParams
    reads: ClassVar[str | None] = "mf"

    @classmethod
    def fit(
        cls,
        history: History,
        backbone: Backbone,
        validation: Chooser,
        params: RidgeParams,
        seed: int,
    ) -> Self:
        """Take over the backbone's table for new users and estimate the noise."""
        penalty_D = torch.full((backbone.features_CND.shape[2],), params.factor_penalty)
        penalty_D[0] = params.bias_penalty
        return cls(
            item_N=backbone.offset_CN[0].clone(),
            features_ND=backbone.features_CND[0].clone(),
            prior_FD=backbone.prior_FD,
            penalty_D=penalty_D,
            noise=1.0,
        ).calibrated(validation)
