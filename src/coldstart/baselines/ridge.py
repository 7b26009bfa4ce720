"""Baseline ``ridge``: fold a new user into the backbone's item features, in closed form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from coldstart.baselines.base import Baseline
from coldstart.data.episodes import Episodes, History, Support
from coldstart.models.backbone import Backbone
from coldstart.models.recommender import Prediction, State
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
class Ridge(Baseline):
    """``w = m + (F'F + P)^-1 F'(y - offset - F m)`` with prior mean ``m``, for all users at once.

    As the posterior of a Bayesian linear regression with noise ``s2`` and prior covariance
    ``s2 P^-1`` it predicts the variance ``s2 (1 + f'(F'F + P)^-1 f)``; ``s2`` is the value that
    maximises the likelihood of the validation users' queries, over all support sizes.
    """

    kind: ClassVar[str] = "ridge"
    Params: ClassVar[type[Section]] = RidgeParams
    features_ND: Tensor
    offset_N: Tensor
    prior_FD: Tensor
    penalty_D: Tensor
    noise: float  # s2, squared target units

    @property
    def n_items(self) -> int:  # type: ignore[override]
        """Length of the catalogue."""
        return len(self.offset_N)

    @classmethod
    def fit(
        cls,
        history: History,
        backbone: Backbone,
        validation: Episodes,
        params: RidgeParams,
        seed: int,
    ) -> Self:
        """Take over the backbone's table for new users and estimate the noise."""
        penalty_D = torch.full((backbone.features_CND.shape[2],), params.factor_penalty)
        penalty_D[0] = params.bias_penalty
        model = cls(
            features_ND=backbone.features_CND[0].clone(),
            offset_N=backbone.offset_CN[0].clone(),
            prior_FD=backbone.prior_FD,
            penalty_D=penalty_D,
            noise=1.0,
        )
        return replace(model, noise=model._likeliest_noise(validation))

    def adapt(self, support: Support) -> State:
        """The posterior: weights and the inverse Cholesky factor of their precision."""
        mask_BS1 = support.mask_BS[..., None]
        f_BSD = (self.features_ND[support.items_BS] * mask_BS1).double()
        rest_BS = (support.targets_BS - self.offset_N[support.items_BS]).double()
        prior_BD = (support.users_BF @ self.prior_FD).double()
        f_BDS = f_BSD.mT
        precision_BDD = f_BDS @ f_BSD + torch.diag(self.penalty_D.double())
        rest_BS1 = rest_BS[..., None] * mask_BS1 - f_BSD @ prior_BD[..., None]
        factor_BDD = torch.linalg.cholesky(precision_BDD)
        step_BD1 = torch.cholesky_solve(f_BDS @ rest_BS1, factor_BDD)
        return {
            "weights_BD": (prior_BD + step_BD1[..., 0]).float(),
            "factor_BDD": factor_BDD.float(),
        }

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """Posterior mean and predictive variance."""
        f_BQD = self.features_ND[items_BQ]
        mean_BQ = self.offset_N[items_BQ] + (f_BQD @ state["weights_BD"][..., None])[..., 0]
        half_BDQ = torch.linalg.solve_triangular(state["factor_BDD"], f_BQD.mT, upper=False)
        return Prediction(mean_BQ, self.noise * (1 + half_BDQ.square().sum(1)))

    def score_catalogue(self, state: State) -> Prediction:
        """Posterior means; to rank a catalogue takes no variance."""
        return Prediction(torch.addmm(self.offset_N, state["weights_BD"], self.features_ND.T))

    def _likeliest_noise(self, validation: Episodes) -> float:
        """Mean of squared error over relative variance (``self.noise`` is 1 here)."""
        ratios = []
        for k in range(validation.support.items_BS.shape[1] + 1):
            mean_BQ, variance_BQ = self.score(
                self.adapt(validation.support.first(k)), validation.items_BQ
            )
            assert variance_BQ is not None
            ratio_BQ = (mean_BQ - validation.targets_BQ).double().square() / variance_BQ
            ratios.append(ratio_BQ[validation.mask_BQ])
        return float(torch.cat(ratios).mean())
