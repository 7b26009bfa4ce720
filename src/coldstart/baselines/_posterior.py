"""The posterior of a Bayesian linear regression per user, which baselines share.

``y = item_i + f_i . w_u + e`` with ``w_u`` normal around a mean that is linear in attributes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from coldstart.baselines._base import ItemTable
from coldstart.data.episodes import Episodes, Support
from coldstart.models.recommender import Prediction, State


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

    def calibrated(self, validation: Episodes) -> Self:
        """The same with the noise that maximises the likelihood of the validation users' queries.

        Over all support sizes; the mean does not depend on it.
        """
        return replace(self, noise=replace(self, noise=1.0)._likeliest_noise(validation))

    def adapt(self, support: Support) -> State:
        """The posterior: weights and the inverse Cholesky factor of their precision."""
        mask_BS1 = support.mask_BS[..., None]
        f_BSD = (self.features_ND[support.items_BS] * mask_BS1).double()
        rest_BS = (support.targets_BS - self.item_N[support.items_BS]).double()
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
        mean_BQ = self.item_N[items_BQ] + (f_BQD @ state["weights_BD"][..., None])[..., 0]
        half_BDQ = torch.linalg.solve_triangular(state["factor_BDD"], f_BQD.mT, upper=False)
        return Prediction(mean_BQ, self.noise * (1 + half_BDQ.square().sum(1)))

    def score_catalogue(self, state: State) -> Prediction:
        """Posterior means; to rank a catalogue takes no variance."""
        return Prediction(torch.addmm(self.item_N, state["weights_BD"], self.features_ND.T))

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
