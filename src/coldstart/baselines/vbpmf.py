"""Baseline ``vbpmf``: fold a new user into variational Bayesian matrix factorisation.

The user's half-step of the factorisation, with the items' posteriors (means and covariances) as
they are: see :mod:`coldstart.models.backbones.vbpmf`. The noise is scaled by a factor that the
likelihood of validation users chooses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from coldstart.baselines._base import Empty, ItemTable
from coldstart.data.choices import Chooser, choose
from coldstart.data.episodes import Episodes, History, Support
from coldstart.models.backbone import Backbone
from coldstart.models.blocks import blocks
from coldstart.models.foldin import FoldIn, found_in, predictive
from coldstart.models.foldin_alone import FoldInServer, Known
from coldstart.models.recommender import Prediction, State
from coldstart.models.server import Ints, Ratings, Server
from coldstart.params import Section

SCALES = tuple(2 ** (step / 4) for step in range(-4, 5))
"""Factors of the noise that are tried, from a half to twice."""
AT_ONCE = 512
"""Validation users who are asked at once: a covariance is read for each item of each."""


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
        cls, history: History, backbone: Backbone, validation: Chooser, params: Empty, seed: int
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

    def with_likeliest_noise(self, validation: Chooser) -> Self:
        """The same with the noise scaled by one of ``SCALES``, over all support sizes."""

        def likeliest(episodes: Episodes) -> float:
            scaled = [replace(self, noise=self.noise * scale) for scale in SCALES]
            surprises = [model._surprise(episodes) for model in scaled]
            return SCALES[surprises.index(min(surprises))]

        return replace(self, noise=self.noise * choose(validation, "scale", likeliest))

    def adapt(self, support: Support) -> State:
        """Mean and covariance of the weights."""
        return self._fold_in.adapt(support.of_new_users())

    def update(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """Exact, see :meth:`FoldIn.update`."""
        return self._fold_in.update(state, items_B, targets_B)

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """Predictive mean and variance."""
        items = self._fold_in.items(items_BQ, torch.zeros_like(items_BQ))
        mean_BQ, variance_BQ = predictive(items, found_in(state))
        return Prediction(mean_BQ, variance_BQ + self.noise)

    def score_catalogue(self, state: State) -> Prediction:
        """Posterior means; to rank a catalogue takes no variance."""
        return Prediction(torch.addmm(self.item_N, state["mean_BD"], self.features_ND.T))

    def serve(self) -> Server:
        """See :class:`VBPMFServer`."""
        return VBPMFServer(self._fold_in, self.noise)

    @cached_property
    def _fold_in(self) -> FoldIn:
        return self.model()

    def model(self) -> FoldIn:
        """The table of new users as a linear model."""
        return FoldIn(
            x_CND=self.features_ND.unsqueeze(0),
            offset_CN=self.item_N.unsqueeze(0),
            weight_CN=torch.full_like(self.item_N, 1 / self.noise).unsqueeze(0),
            precision_DD=torch.linalg.inv(self.prior_DD),
            prior_CFD=self.prior_FD.unsqueeze(0),
            covariance_NDD=self.covariance_NDD,
        )

    def _surprise(self, validation: Episodes) -> float:
        """Mean negative log-likelihood of the queries, up to a constant, over support sizes."""
        losses = []
        shots = range(validation.support.items_BS.shape[1] + 1)
        for k, part in product(shots, blocks(validation.n_users, AT_ONCE)):
            users = validation.rows(part)
            mean_BQ, variance_BQ = self.score(self.adapt(users.support.first(k)), users.items_BQ)
            assert variance_BQ is not None
            error_BQ = (mean_BQ - users.targets_BQ).double().square()
            losses.append((error_BQ / variance_BQ + variance_BQ.log())[users.mask_BQ])
        return float(torch.cat(losses).mean())


class VBPMFServer(FoldInServer):
    """:class:`VBPMF` for one user alone."""

    def __init__(self, model: FoldIn, noise: float) -> None:
        super().__init__(model)
        self._noise = noise

    def score(self, state: Known, items_Q: Ints) -> Ratings:
        """Predictive mean and variance."""
        mean_Q, variance_Q = super().score(state, items_Q)
        assert variance_Q is not None
        return Ratings(mean_Q, variance_Q + self._noise)
