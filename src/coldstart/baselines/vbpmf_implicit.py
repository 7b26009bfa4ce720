"""Baseline ``vbpmf_implicit``: vbpmf whose prior mean reads *which* items were rated; calibrated.

What newcomers choose to rate says something before their ratings do: the prior mean of their
weights follows the descriptions of the items (:mod:`coldstart.models.user_prior`). Predictions are
then calibrated per support size by an affine map that validation users fit by least squares, and
the variance by a factor. All in closed form: the bar for any gain of meta-learning.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from coldstart.baselines._base import Empty
from coldstart.baselines.vbpmf import VBPMF
from coldstart.data.episodes import Episodes, History, Support
from coldstart.models.backbone import Backbone
from coldstart.models.description import chosen, descriptions
from coldstart.models.recommender import Prediction, State

PRIOR_USERS = 100
"""Worth of the prior that predictions are calibrated as they are; on validation users of ml-100k,
folds 0-4, 30 and none were worse."""


@dataclass(frozen=True)
class VBPMFImplicit(VBPMF):
    """``intercept + slope * vbpmf`` with the better informed prior mean."""

    kind: ClassVar[str] = "vbpmf_implicit"
    described_NJ: Tensor
    choice_JD: Tensor
    damping: float
    calibration_K3: Tensor  # intercept, slope and factor of the variance after K ratings

    @classmethod
    def fit(
        cls, history: History, backbone: Backbone, validation: Episodes, params: Empty, seed: int
    ) -> Self:
        """Take over the backbone's table and choice map, scale the noise, calibrate."""
        model = cls(
            **cls.taken_over(backbone),
            described_NJ=descriptions(backbone)[0].clone(),
            choice_JD=backbone.choice_JD,
            damping=float(backbone.choice_damping),
            calibration_K3=torch.tensor([[0.0, 1.0, 1.0]]),
        ).with_likeliest_noise(validation)
        sizes = range(validation.support.items_BS.shape[1] + 1)
        fitted = [model._calibration(validation, k) for k in sizes]
        return replace(model, calibration_K3=torch.stack(fitted))

    def prior_mean(self, support: Support) -> Tensor:
        """Expected weights given attributes and the choice of items: ``[B, D]``."""
        return super().prior_mean(support) + self._expected(self._choice(support))

    def adapt(self, support: Support) -> State:
        """As vbpmf, and the calibration for the number of ratings."""
        return super().adapt(support) | self._choice(support)

    def update(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """As vbpmf; one more choice moves the prior mean, and the posterior's with it."""
        choice = self._counted(
            state["choice_BJ"] + self.described_NJ[items_B], state["count_B"] + 1
        )
        moved_BD = self._expected(choice) - self._expected(state)
        after = super().update(state, items_B, targets_B) | choice
        pull_BD = torch.linalg.solve(self.prior_DD, moved_BD.mT).mT
        shift_BD = (after["covariance_BDD"] @ pull_BD[..., None])[..., 0]
        return after | {"mean_BD": after["mean_BD"] + shift_BD}

    def _choice(self, support: Support) -> State:
        support = support._replace(crossfit_B=torch.zeros_like(support.crossfit_B))
        return self._counted(chosen(self.described_NJ[None], support), support.mask_BS.sum(1))

    def _counted(self, choice_BJ: Tensor, count_B: Tensor) -> State:
        """Sum of the chosen items' descriptions, their number, and the calibration for it."""
        last = len(self.calibration_K3) - 1
        calibration_B3 = self.calibration_K3[count_B.clamp(max=last)]
        return {"choice_BJ": choice_BJ, "count_B": count_B, "calibration_B3": calibration_B3}

    def _expected(self, choice: State) -> Tensor:
        """What the choice of items adds to the expected weights: ``[B, D]``."""
        share_BJ = choice["choice_BJ"] / (choice["count_B"].unsqueeze(1) + self.damping)
        return share_BJ @ self.choice_JD

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """Calibrated mean and variance."""
        mean_BQ, variance_BQ = super().score(state, items_BQ)
        assert variance_BQ is not None
        intercept_B1, slope_B1, factor_B1 = torch.split(state["calibration_B3"], 1, 1)
        return Prediction(intercept_B1 + slope_B1 * mean_BQ, factor_B1 * variance_BQ)

    def score_catalogue(self, state: State) -> Prediction:
        """Calibrated means."""
        intercept_B1, slope_B1, _ = torch.split(state["calibration_B3"], 1, 1)
        return Prediction(intercept_B1 + slope_B1 * super().score_catalogue(state).mean)

    def _calibration(self, validation: Episodes, k: int) -> Tensor:
        """Least squares of what is left on the mean after ``k`` ratings, with a prior of none.

        ``PRIOR_USERS`` users whose errors nothing explains keep a few validation users from being
        followed too closely. The factor of the variance is the mean of squared error over it.
        """
        mean_BQ, variance_BQ = self.score(
            self.adapt(validation.support.first(k)), validation.items_BQ
        )
        assert variance_BQ is not None
        over = validation.mean_over_users
        centre = over(mean_BQ)
        rest_BQ, step_BQ = validation.targets_BQ - mean_BQ, mean_BQ - centre
        n_users = int(validation.mask_BQ.any(1).sum())
        trust = n_users / (n_users + PRIOR_USERS)
        slope = trust * over(step_BQ * rest_BQ) / over(step_BQ.square()).clamp(min=1e-9)
        offset = trust * over(rest_BQ)
        factor = over((rest_BQ - offset - slope * step_BQ).square() / variance_BQ)
        return torch.stack([offset - slope * centre, 1 + slope, factor]).float()
