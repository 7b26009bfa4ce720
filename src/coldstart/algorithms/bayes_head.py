"""A Bayesian linear head per user, solved in closed form, under a meta-learned prior.

y = offset_i + phi_i . w + e,  w ~ N(A x_u, L L'),  e ~ N(0, s_i^2). Item features phi and the prior
mean A x_u are the backbone's and stay as they are; L and the noise follow the gradient of the
query's likelihood through the solve (ALPaCA, Harrison et al. 2018, with an informed prior mean and
fixed features). The start is an isotropic prior: the backbone's ridge fold-in. With the
click-through head the same Gaussian model is fitted to targets 0 and 1 and its mean is clipped to
probabilities.

Work is done with whitened features psi = L' phi / s, for which the prior covariance is the identity
and the noise is 1. Meta-training differentiates the solve in torch. To serve, the same few small
products are taken in numpy on the tensors' own memory: for one user, dispatch is most of the cost
of a torch call.

Legend: B users, S support, Q query, N items, E features, F user features.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from coldstart.algorithms.base import MetaLearner, Theta, masked_mean
from coldstart.data.episodes import Episodes, Support
from coldstart.models.backbone import Backbone
from coldstart.models.heads import ClickHead, Head
from coldstart.models.recommender import Prediction, State
from coldstart.params import Section


class BayesHeadParams(Section):
    """Start and step size of the meta-trained prior."""

    prior_ratio: float = Field(
        gt=0, description="Prior variance of a weight over the noise variance, at the start."
    )
    noise: float = Field(
        gt=0, description="Standard deviation of the noise at the start, over the head's scale."
    )
    outer_rate: float = Field(gt=0, le=1, description="Step size of Adam.")


class Items(NamedTuple):
    """What adapting and scoring read of items."""

    phi: Tensor  # [..., E], whitened by the prior: L' phi
    offset: Tensor  # [...]
    variance: Tensor  # [...], of the noise


class Served(NamedTuple):
    """What serving reads, fixed once meta-training is over."""

    rows_NX: NDArray[Any]  # (phi, offset, 1) / noise
    prior_FE: NDArray[Any]
    eye_EE: NDArray[Any]
    phi_EN: Tensor
    offset_N: Tensor


class BayesHead(MetaLearner[BayesHeadParams]):
    """Exact posterior of each user's weights under a meta-learned prior."""

    kind = "bayes_head"
    Params = BayesHeadParams

    @classmethod
    def initial(cls, backbone: Backbone, params: BayesHeadParams, head: Head, seed: int) -> Theta:
        """An isotropic covariance and the same noise for all items; nothing is random."""
        del seed
        D = backbone.prior_FD.shape[1]
        scale = 0.5 if isinstance(head, ClickHead) else 1.0
        noise = 2 * math.log(params.noise * scale)
        spread = 0.5 * (math.log(params.prior_ratio) + noise)
        return {
            "lower_EE": torch.zeros(D, D),
            "log_diagonal_E": torch.full((D,), spread),
            "noise_2": torch.tensor([noise, 0.0]),
        }

    def outer_rate(self, step: int, max_steps: int) -> float:
        """Falls along a half cosine to zero."""
        return self.params.outer_rate * 0.5 * (1 + math.cos(math.pi * (step - 1) / max_steps))

    def query_loss(self, theta: Theta, episodes: Episodes, *, training: bool) -> Tensor:
        """Gaussian negative log-likelihood of the query, per user.

        Selection on validation users (not training) reads the squared error instead.
        """
        support = episodes.support
        state = self.adapt_with(theta, support, training=training)
        mean_BQ, variance_BQ = self.score_with(theta, state, episodes.items_BQ, support.crossfit_B)
        assert variance_BQ is not None
        error_BQ = (episodes.targets_BQ - mean_BQ).square()
        if not training:
            return masked_mean(error_BQ, episodes.mask_BQ)
        return masked_mean(0.5 * (error_BQ / variance_BQ + variance_BQ.log()), episodes.mask_BQ)

    def adapt_with(self, theta: Theta, support: Support, *, training: bool) -> State:
        """Posterior mean and precision of the whitened weights."""
        del training  # the solve is the same
        items = self._items(theta, support.items_BS, support.crossfit_B.unsqueeze(1))
        scale_BS = support.mask_BS * items.variance.rsqrt()  # a row of zeros is no rating
        psi_BSE = items.phi * scale_BS.unsqueeze(-1)
        target_BS = (support.targets_BS - items.offset) * scale_BS
        prior_BE = support.users_BF @ self._prior(theta)
        mean_BE, precision_BEE = posterior(psi_BSE, target_BS, prior_BE)
        return {"mean_BE": mean_BE, "precision_BEE": precision_BEE}

    def adapt(self, support: Support) -> State:
        """See :meth:`Recommender.adapt`; equals :meth:`adapt_with` on the table of new users."""
        if support.items_BS.device.type != "cpu":
            return super().adapt(support)
        served, E = self._served, self.backbone.prior_FD.shape[1]
        rows_BSX = served.rows_NX.take(support.items_BS.numpy(), 0)
        rows_BSX *= support.mask_BS.numpy()[..., None]
        # the target takes the place of the offset: one product gives both sums over ratings
        rows_BSX[..., E] = support.targets_BS.numpy() * rows_BSX[..., E + 1] - rows_BSX[..., E]
        sums_BEX = rows_BSX[..., :E].mT @ rows_BSX[..., : E + 1]
        precision_BEE = sums_BEX[..., :E] + served.eye_EE
        moment_BE = sums_BEX[..., E] + support.users_BF.numpy() @ served.prior_FE
        mean_BE1 = np.linalg.solve(precision_BEE, moment_BE[..., None])
        return {
            "mean_BE": torch.from_numpy(mean_BE1[..., 0]),
            "precision_BEE": torch.from_numpy(precision_BEE),
        }

    def score_with(
        self, theta: Theta, state: State, items_BQ: Tensor, crossfit_B: Tensor
    ) -> Prediction:
        """Predictive mean and variance."""
        return _score(self._items(theta, items_BQ, crossfit_B.unsqueeze(1)), state)

    def score_catalogue(self, state: State) -> Prediction:
        """Posterior means; to rank a catalogue takes no variance."""
        served = self._served
        mean_BN = torch.addmm(served.offset_N, state["mean_BE"], served.phi_EN)
        return self.predict(Prediction(mean_BN))

    def predict(self, scores: Prediction) -> Prediction:
        """Clips to probabilities where targets are likes."""
        if isinstance(self.head, ClickHead):
            margin = self.head.margin
            return Prediction(scores.mean.clamp(margin, 1 - margin), scores.variance)
        return scores

    def update(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """Add one rating per user to the state: exactly what adapting to all of them gives.

        The rating adds its outer product to the precision; the mean follows as in recursive least
        squares.
        """
        phi_BE, offset_B, variance_B = self._items(self.theta, items_B, torch.zeros_like(items_B))
        psi_BE = phi_BE * variance_B.rsqrt().unsqueeze(-1)
        precision_BEE = state["precision_BEE"] + psi_BE.unsqueeze(-1) * psi_BE.unsqueeze(-2)
        surprise_B = targets_B - offset_B - (phi_BE * state["mean_BE"]).sum(-1)
        moment_BE = psi_BE * (surprise_B * variance_B.rsqrt()).unsqueeze(-1)
        mean_BE = state["mean_BE"] + torch.linalg.solve(precision_BEE, moment_BE)
        return {"mean_BE": mean_BE, "precision_BEE": precision_BEE}

    @cached_property
    def _served(self) -> Served:
        with torch.inference_mode(False), torch.no_grad():
            everything_N = torch.arange(self.n_items, device=self.backbone.offset_CN.device)
            items = self._items(self.theta, everything_N, torch.zeros_like(everything_N))
            columns = items.offset.unsqueeze(-1), torch.ones_like(items.offset).unsqueeze(-1)
            rows_NX = torch.cat([items.phi, *columns], -1) * items.variance.rsqrt().unsqueeze(-1)
            rows = rows_NX.cpu().numpy()
            return Served(
                rows_NX=rows,
                prior_FE=self._prior(self.theta).cpu().numpy(),
                eye_EE=np.eye(items.phi.shape[1], dtype=rows.dtype),
                phi_EN=items.phi.mT.contiguous(),
                offset_N=items.offset,
            )

    def _items(self, theta: Theta, items: Tensor, table: Tensor) -> Items:
        """Features, offset and noise of items, read from cross-fitted tables."""
        phi = self.backbone.features_CND[table, items] @ _lower(theta)
        base, rare = theta["noise_2"].unbind()
        rarity = (1 + self.backbone.count_CN[table, items]).rsqrt()
        return Items(phi, self.backbone.offset_CN[table, items], (base + rare * rarity).exp())

    def _prior(self, theta: Theta) -> Tensor:
        """Map from attributes to the whitened prior mean: ``[F, E]``, A (L^-1)'."""
        prior_EF = self.backbone.prior_FD.mT
        whitened_EF: Tensor = torch.linalg.solve_triangular(_lower(theta), prior_EF, upper=False)
        return whitened_EF.mT


def posterior(psi_BSE: Tensor, target_BS: Tensor, prior_BE: Tensor) -> tuple[Tensor, Tensor]:
    """Posterior of weights with prior ``N(prior_BE, I)`` and unit noise; a row of zeros is no data.

    Returns the mean ``[B, E]`` and the precision ``[B, E, E]``.
    """
    eye = torch.eye(psi_BSE.shape[-1], dtype=psi_BSE.dtype, device=psi_BSE.device)
    precision_BEE = eye + psi_BSE.mT @ psi_BSE
    moment_BE1 = (prior_BE + (psi_BSE.mT @ target_BS.unsqueeze(-1)).squeeze(-1)).unsqueeze(-1)
    mean_BE1 = torch.cholesky_solve(moment_BE1, torch.linalg.cholesky(precision_BEE))
    return mean_BE1.squeeze(-1), precision_BEE


def _lower(theta: Theta) -> Tensor:
    """Cholesky factor of the prior covariance."""
    return theta["lower_EE"].tril(-1) + torch.diag(theta["log_diagonal_E"].exp())


def _score(items: Items, state: State) -> Prediction:
    mean_BQ = items.offset + (items.phi @ state["mean_BE"].unsqueeze(-1)).squeeze(-1)
    factor_BEE = torch.linalg.cholesky(state["precision_BEE"])
    half_BEQ = torch.linalg.solve_triangular(factor_BEE, items.phi.mT, upper=False)
    spread_BQ = half_BEQ.square().sum(-2)
    return Prediction(mean_BQ, spread_BQ + items.variance)
