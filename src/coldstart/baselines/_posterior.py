"""The posterior of a Bayesian linear regression per user, which baselines share.

``y = item_i + f_i . w_u + e`` with ``w_u`` normal around a mean that is linear in attributes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from coldstart.baselines._base import ItemTable
from coldstart.data.choices import Chooser, choose
from coldstart.data.episodes import Episodes, Support
from coldstart.models.floors import LEAST_NOISE
from coldstart.models.foldin import FoldIn, found_in, predictive
from coldstart.models.foldin_alone import FoldInServer, Known
from coldstart.models.recommender import Prediction, State
from coldstart.models.server import Ints, Ratings, Server


@dataclass(frozen=True)
class LinearPosterior(ItemTable):
    """``w = m + (F'F + P)^-1 F'(y - item - F m)`` with prior mean ``m``, for all users at once.

    With noise ``s2`` and prior covariance ``s2 P^-1`` the predictive variance is
    ``s2 (1 + f'(F'F + P)^-1 f)``.
    """

    features_ND: Tensor
    prior_FD: Tensor
    penalty_D: Tensor
    noise: float  # s2, squared target units

    def calibrated(self, validation: Chooser) -> Self:
        """The same with the noise that maximises the likelihood of the validation users' queries.

        Over all support sizes; the mean does not depend on it.
        """
        relative = replace(self, noise=1.0)
        return replace(self, noise=choose(validation, "noise", relative._likeliest_noise))

    def adapt(self, support: Support) -> State:
        """The posterior in float64, in units of the noise."""
        return self._fold_in.adapt(support.of_new_users())

    def update(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """Exact, see :meth:`FoldIn.update`."""
        return self._fold_in.update(state, items_B, targets_B)

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """Posterior mean and predictive variance."""
        items = self._fold_in.items(items_BQ, torch.zeros_like(items_BQ))
        mean_BQ, variance_BQ = predictive(items, found_in(state))
        return Prediction(mean_BQ.float(), (self.noise * (1 + variance_BQ)).float())

    def score_catalogue(self, state: State) -> Prediction:
        """Posterior means; to rank a catalogue takes no variance."""
        mean_BD = state["mean_BD"].float()
        return Prediction(torch.addmm(self.item_N, mean_BD, self.features_ND.T))

    def serve(self) -> Server:
        """See :class:`LinearServer`."""
        return LinearServer(self._fold_in, self.noise)

    @cached_property
    def _fold_in(self) -> FoldIn:
        item_N, features_ND = self.item_N.double(), self.features_ND.double()
        return FoldIn(
            x_CND=features_ND.unsqueeze(0),
            offset_CN=item_N.unsqueeze(0),
            weight_CN=torch.ones_like(item_N).unsqueeze(0),
            precision_DD=torch.diag(self.penalty_D.double()),
            prior_CFD=self.prior_FD.double().unsqueeze(0),
        )

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
        return max(float(torch.cat(ratios).mean()), LEAST_NOISE)


class LinearServer(FoldInServer):
    """:class:`LinearPosterior` for one user alone."""

    def __init__(self, model: FoldIn, noise: float) -> None:
        super().__init__(model)
        self._noise = noise

    def score(self, state: Known, items_Q: Ints) -> Ratings:
        """Posterior mean and predictive variance."""
        mean_Q, variance_Q = super().score(state, items_Q)
        assert variance_Q is not None
        return Ratings(mean_Q, self._noise * (1 + variance_Q))
