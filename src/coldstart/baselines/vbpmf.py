"""Baseline ``vbpmf``: fold a new user into variational Bayesian matrix factorisation.

The user's half-step of the factorisation, with the items' posteriors (means and covariances) as
they are: see :mod:`coldstart.models.backbones.vbpmf`. The noise is scaled by a factor that the
likelihood of validation users chooses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from coldstart.baselines._base import Empty, ItemTable
from coldstart.data.episodes import Episodes, History, Support
from coldstart.models.backbone import Backbone
from coldstart.models.foldin import Items, evidence, own_variance
from coldstart.models.recommender import Prediction, State
from coldstart.params import Section

SCALES = tuple(2 ** (step / 4) for step in range(-4, 5))
"""Factors of the noise that are tried, from a half to twice."""


@dataclass(frozen=True)
class VBPMF(ItemTable):
    """Posterior of a user's weights, normal, for all users at once."""

    kind: ClassVar[str] = "vbpmf"
    Params: ClassVar[type[Section]] = Empty
    reads: ClassVar[str | None] = "vbpmf"
    features_ND: Tensor
    covariance_NDD: Tensor
    prior_FD: Tensor
    prior_DD: Tensor
    noise: float  # variance, squared target units

    @classmethod
    def fit(
        cls, history: History, backbone: Backbone, validation: Episodes, params: Empty, seed: int
    ) -> Self:
        """Take over the backbone's table for new users and scale the noise."""
        return cls(**cls.taken_over(backbone)).with_likeliest_noise(validation)

    @classmethod
    def taken_over(cls, backbone: Backbone) -> dict[str, Any]:
        """The fields that come from the backbone."""
        assert backbone.covariance_NDD is not None
        return {
            "item_N": backbone.offset_CN[0].clone(),
            "features_ND": backbone.features_CND[0].clone(),
            "covariance_NDD": backbone.covariance_NDD,
            "prior_FD": backbone.prior_FD,
            "prior_DD": backbone.prior_DD,
            "noise": float(backbone.noise),
        }

    def with_likeliest_noise(self, validation: Episodes) -> Self:
        """The same with the noise scaled by one of ``SCALES``, over all support sizes."""
        scaled = [replace(self, noise=self.noise * scale) for scale in SCALES]
        surprises = [model._surprise(validation) for model in scaled]
        return scaled[surprises.index(min(surprises))]

    def prior_mean(self, support: Support) -> Tensor:
        """Expected weights before any rating is read: ``[B, D]``."""
        return support.users_BF @ self.prior_FD

    def adapt(self, support: Support) -> State:
        """Mean and covariance of the weights."""
        items = self._items(support.items_BS)
        gram_BDD, right_BD = evidence(items, support.targets_BS, support.mask_BS / self.noise)
        precision_DD = torch.linalg.inv(self.prior_DD)
        factor_BDD = torch.linalg.cholesky(gram_BDD + precision_DD)
        moment_BD = right_BD + self.prior_mean(support) @ precision_DD
        return {
            "mean_BD": torch.cholesky_solve(moment_BD[..., None], factor_BDD)[..., 0],
            "covariance_BDD": torch.cholesky_inverse(factor_BDD),
        }

    def update(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """Add one rating per user to the state: exactly what adapting to all of them gives."""
        items = self._items(items_B.unsqueeze(1))
        weight_B1 = torch.full_like(items.offset, 1 / self.noise)
        gram_BDD, right_BD = evidence(items, targets_B.unsqueeze(1), weight_B1)
        precision_BDD = torch.linalg.inv(state["covariance_BDD"])
        factor_BDD = torch.linalg.cholesky(precision_BDD + gram_BDD)
        moment_BD1 = precision_BDD @ state["mean_BD"][..., None] + right_BD[..., None]
        return state | {
            "mean_BD": torch.cholesky_solve(moment_BD1, factor_BDD)[..., 0],
            "covariance_BDD": torch.cholesky_inverse(factor_BDD),
        }

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """Predictive mean and variance."""
        items, mean_BD, covariance_BDD = self._items(items_BQ), *self._weights(state)
        mean_BQ = items.offset + (items.x @ mean_BD[..., None])[..., 0]
        spread_BQ = torch.einsum("bqd,bde,bqe->bq", items.x, covariance_BDD, items.x)
        own_BQ = own_variance(items, mean_BD, covariance_BDD)
        return Prediction(mean_BQ, spread_BQ + own_BQ + self.noise)

    def score_catalogue(self, state: State) -> Prediction:
        """Posterior means; to rank a catalogue takes no variance."""
        return Prediction(torch.addmm(self.item_N, state["mean_BD"], self.features_ND.T))

    def _weights(self, state: State) -> tuple[Tensor, Tensor]:
        return state["mean_BD"], state["covariance_BDD"]

    def _items(self, items: Tensor) -> Items:
        return Items(self.features_ND[items], self.item_N[items], self.covariance_NDD[items])

    def _surprise(self, validation: Episodes) -> float:
        """Mean negative log-likelihood of the queries, up to a constant, over support sizes."""
        losses = []
        for k in range(validation.support.items_BS.shape[1] + 1):
            mean_BQ, variance_BQ = self.score(
                self.adapt(validation.support.first(k)), validation.items_BQ
            )
            assert variance_BQ is not None
            error_BQ = (mean_BQ - validation.targets_BQ).double().square()
            losses.append((error_BQ / variance_BQ + variance_BQ.log())[validation.mask_BQ])
        return float(torch.cat(losses).mean())
