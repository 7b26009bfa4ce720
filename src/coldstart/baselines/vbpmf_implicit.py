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
from coldstart.baselines.vbpmf import VBPMF, VBPMFServer
from coldstart.data.choices import Chooser, choose
from coldstart.data.episodes import Episodes, History, Support
from coldstart.models.backbone import Backbone
from coldstart.models.description import descriptions
from coldstart.models.floors import LEAST_FACTOR
from coldstart.models.foldin import FoldIn
from coldstart.models.foldin_alone import Known
from coldstart.models.recommender import Prediction, State
from coldstart.models.server import Floats, Ints, Ratings, Server

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
        cls, history: History, backbone: Backbone, validation: Chooser, params: Empty, seed: int
    ) -> Self:
        """Take over the backbone's table and choice map, scale the noise, calibrate."""
        model = cls(
            **cls.taken_over(backbone),
            described_NJ=descriptions(backbone)[0].clone(),
            choice_JD=backbone.choice_JD,
            damping=float(backbone.choice_damping),
            calibration_K3=torch.tensor([[0.0, 1.0, 1.0]]),
        ).with_likeliest_noise(validation)

        def calibrations(episodes: Episodes) -> list[list[float]]:
            sizes = range(episodes.support.items_BS.shape[1] + 1)
            return [model._calibration(episodes, k).tolist() for k in sizes]

        fitted = choose(validation, "calibration_K3", calibrations)
        return replace(model, calibration_K3=torch.tensor(fitted))

    def adapt(self, support: Support) -> State:
        """As vbpmf, and the calibration for the number of ratings."""
        return self._calibrated(super().adapt(support))

    def update(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """Exact too: one more choice moves the prior mean, and the posterior's with it."""
        return self._calibrated(super().update(state, items_B, targets_B))

    def model(self) -> FoldIn:
        """Informed by the choice of items."""
        choice_CND = (self.described_NJ @ self.choice_JD).unsqueeze(0)
        return super().model()._replace(choice_CND=choice_CND, damping=self.damping)

    def serve(self) -> Server:
        """See :class:`CalibratedServer`."""
        return CalibratedServer(self._fold_in, self.noise, self.calibration_K3)

    def _calibrated(self, state: State) -> State:
        place_B = state["count_B"].long().clamp(max=len(self.calibration_K3) - 1)
        return state | {"calibration_B3": self.calibration_K3[place_B]}

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
        factor = factor.clamp(min=LEAST_FACTOR)
        return torch.stack([offset - slope * centre, 1 + slope, factor]).float()


class CalibratedServer(VBPMFServer):
    """:class:`VBPMFImplicit` for one user alone."""

    def __init__(self, model: FoldIn, noise: float, calibration_K3: Tensor) -> None:
        super().__init__(model, noise)
        self._calibration: list[tuple[float, float, float]] = calibration_K3.tolist()

    def rank(self, state: Known) -> Floats:
        """Calibrated means."""
        intercept, slope, _ = self._at(state)
        scores_N = super().rank(state)
        scores_N *= slope
        scores_N += intercept
        return scores_N

    def score(self, state: Known, items_Q: Ints) -> Ratings:
        """Calibrated mean and variance."""
        intercept, slope, factor = self._at(state)
        mean_Q, variance_Q = super().score(state, items_Q)
        assert variance_Q is not None
        return Ratings(intercept + slope * mean_Q, factor * variance_Q)

    def _at(self, state: Known) -> tuple[float, float, float]:
        return self._calibration[min(state.size, len(self._calibration) - 1)]
