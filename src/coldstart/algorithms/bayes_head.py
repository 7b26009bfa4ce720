"""A Bayesian linear head per user, solved in closed form; everything else is meta-learned.

y = offset_i + phi_i . w + e,  w ~ N(A x_u + a, L L'),  e ~ N(0, s_i^2). The item features phi are
the backbone's plus those of a residual encoder that starts at zero; A, a, L, the noise and the
encoder follow the gradient of the query's likelihood through the solve (as in Harrison et al.
2018, ALPaCA, with an informed prior). Prior and features start as the backbone's, so the untrained
head is the backbone's ridge fold-in. With the click-through head the same Gaussian model is fitted
to targets 0 and 1 and its mean is clipped to probabilities.

Work is done with whitened features psi = L' phi / s, for which the prior covariance is the identity
and the noise is 1: one Cholesky factor, of size min(S, E), gives mean and covariance.

Legend: B users, S support, Q query, N items, D backbone features, also E, F user features,
H hidden units of the encoder.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import torch
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

    hidden: int = Field(ge=1, le=1024, description="Width of the residual encoder of items.")
    prior_ratio: float = Field(
        gt=0, description="Prior variance of a weight over the noise variance, at the start."
    )
    noise: float = Field(
        gt=0, description="Standard deviation of the noise at the start, over the head's scale."
    )
    likelihood: float = Field(
        ge=0, le=1, description="Share of the likelihood in the loss; the rest is squared error."
    )
    outer_rate: float = Field(gt=0, le=1, description="Step size of Adam.")


class Items(NamedTuple):
    """What adapting and scoring read of items."""

    phi: Tensor  # [..., E], whitened by the prior: L' phi
    offset: Tensor  # [...]
    variance: Tensor  # [...], of the noise


class BayesHead(MetaLearner[BayesHeadParams]):
    """Exact posterior of each user's weights under a meta-learned prior."""

    kind = "bayes_head"
    Params = BayesHeadParams

    @classmethod
    def initial(cls, backbone: Backbone, params: BayesHeadParams, head: Head, seed: int) -> Theta:
        """The backbone's prior, an isotropic covariance, and an encoder that adds nothing."""
        generator = torch.Generator().manual_seed(seed)
        D = backbone.prior_FD.shape[1]
        scale = 0.5 if isinstance(head, ClickHead) else 1.0
        noise = 2 * math.log(params.noise * scale)
        spread = 0.5 * (math.log(params.prior_ratio) + noise)
        first = torch.randn(D + 1, params.hidden, generator=generator) * math.sqrt(2 / (D + 1))
        return {
            "mean_FE": backbone.prior_FD.clone(),
            "mean_1E": torch.zeros(1, D),
            "lower_EE": torch.zeros(D, D),
            "log_diagonal_E": torch.full((D,), spread),
            "noise_2": torch.tensor([noise, 0.0]),
            "encoder1_EH": first,
            "encoder1_1H": torch.zeros(1, params.hidden),
            "encoder2_HX": torch.zeros(params.hidden, 1 + D),
        }

    def outer_rate(self, step: int, max_steps: int) -> float:
        """Falls along a half cosine to zero."""
        return self.params.outer_rate * 0.5 * (1 + math.cos(math.pi * (step - 1) / max_steps))

    def query_loss(self, theta: Theta, episodes: Episodes, *, training: bool) -> Tensor:
        """Per-user mix of Gaussian negative log-likelihood and squared error of the query.

        Selection on validation users (not training) reads the squared error alone.
        """
        support = episodes.support
        state = self.adapt_with(theta, support, training=training)
        mean_BQ, variance_BQ = self.score_with(theta, state, episodes.items_BQ, support.crossfit_B)
        assert variance_BQ is not None
        error_BQ = (episodes.targets_BQ - mean_BQ).square()
        if not training:
            return masked_mean(error_BQ, episodes.mask_BQ)
        nll_BQ = 0.5 * (error_BQ / variance_BQ + variance_BQ.log())
        share = self.params.likelihood
        return masked_mean(share * nll_BQ + (1 - share) * error_BQ, episodes.mask_BQ)

    def adapt_with(self, theta: Theta, support: Support, *, training: bool) -> State:
        """Posterior mean and covariance of the whitened weights."""
        del training  # the solve is the same
        table_B1 = support.crossfit_B.unsqueeze(1)
        items = self._encode(theta, *(part[table_B1, support.items_BS] for part in self._inputs))
        return _adapt(_rows(items), prior_of(theta), support)

    def adapt(self, support: Support) -> State:
        """See :meth:`Recommender.adapt`; reads the encoded catalogue."""
        with torch.no_grad():
            return _adapt(self._catalogue_rows[support.items_BS], self._prior, support)

    def score_with(
        self, theta: Theta, state: State, items_BQ: Tensor, crossfit_B: Tensor
    ) -> Prediction:
        """Predictive mean and variance."""
        table_B1 = crossfit_B.unsqueeze(1)
        items = self._encode(theta, *(part[table_B1, items_BQ] for part in self._inputs))
        return _score(items, state)

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """See :meth:`Recommender.score`; reads the encoded catalogue."""
        with torch.no_grad():
            return self.predict(_score(self._pick(items_BQ), state))

    def score_catalogue(self, state: State) -> Prediction:
        """See :meth:`Recommender.score_catalogue`."""
        offset_N, variance_N, phi_EN, outer_EEN = self._catalogue_columns
        with torch.no_grad():
            mean_BN = torch.addmm(offset_N, state["mean_BE"], phi_EN)
            # phi' cov phi is linear in cov: one product with the items' outer products
            variance_BN = torch.addmm(variance_N, state["cov_BEE"].flatten(1), outer_EEN)
            return self.predict(Prediction(mean_BN, variance_BN))

    def predict(self, scores: Prediction) -> Prediction:
        """Clips to probabilities where targets are likes."""
        if isinstance(self.head, ClickHead):
            margin = self.head.margin
            return Prediction(scores.mean.clamp(margin, 1 - margin), scores.variance)
        return scores

    def update(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """Add one rating per user to the state: exactly what adapting to all of them gives.

        A rank-one downdate of the covariance (Sherman & Morrison), O(E^2) per user.
        """
        phi_BE, offset_B, variance_B = self._pick(items_B)
        mean_BE, cov_BEE = state["mean_BE"], state["cov_BEE"]
        gain_BE = (cov_BEE @ phi_BE.unsqueeze(-1)).squeeze(-1)
        total_B1 = (variance_B + (phi_BE * gain_BE).sum(-1)).unsqueeze(-1)
        surprise_B1 = (targets_B - offset_B - (phi_BE * mean_BE).sum(-1)).unsqueeze(-1)
        share_BE = gain_BE / total_B1
        return {
            "mean_BE": mean_BE + share_BE * surprise_B1,
            "cov_BEE": cov_BEE - share_BE.unsqueeze(-1) * gain_BE.unsqueeze(-2),
        }

    @cached_property
    def _inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """All tables: features ``[C, N, D]``, log counts and offsets ``[C, N]``."""
        table = self.backbone
        return table.features_CND, table.count_CN.log1p(), table.offset_CN

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the encoder's inputs over the known items."""
        features_CND, count_CN, _ = self._inputs
        inputs_NE = torch.cat([features_CND[0], count_CN[0].unsqueeze(-1)], -1)
        known_ME = inputs_NE[count_CN[0] > 0]
        mean_E, std_E = known_ME.mean(0), known_ME.std(0, correction=0)
        return mean_E, torch.where(std_E > 1e-6, std_E, torch.ones_like(std_E))

    @cached_property
    def _catalogue(self) -> Items:
        with torch.inference_mode(False), torch.no_grad():
            return self._encode(self.theta, *(part[0] for part in self._inputs))

    @cached_property
    def _catalogue_rows(self) -> Tensor:
        with torch.inference_mode(False), torch.no_grad():
            return _rows(self._catalogue)

    @cached_property
    def _catalogue_columns(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Offset and noise ``[N]``, features ``[E, N]``, their outer products ``[E * E, N]``."""
        phi_NE, offset_N, variance_N = self._catalogue
        with torch.inference_mode(False), torch.no_grad():
            outer_NEE = phi_NE.unsqueeze(-1) * phi_NE.unsqueeze(-2)
            columns = phi_NE.mT.contiguous(), outer_NEE.flatten(1).mT.contiguous()
            return offset_N, variance_N, *columns

    @cached_property
    def _prior(self) -> tuple[Tensor, Tensor]:
        with torch.inference_mode(False), torch.no_grad():
            return prior_of(self.theta)

    def _pick(self, items: Tensor) -> Items:
        return Items(*(part[items] for part in self._catalogue))

    def _encode(self, theta: Theta, x: Tensor, count: Tensor, offset: Tensor) -> Items:
        """Features, offset and noise of items, given the backbone's ``x [..., D]``."""
        mean_E, std_E = self._moments
        inputs = (torch.cat([x, count.unsqueeze(-1)], -1) - mean_E) / std_E
        hidden = torch.relu(inputs @ theta["encoder1_EH"] + theta["encoder1_1H"])
        residual = hidden @ theta["encoder2_HX"]
        phi = x + residual[..., 1:]
        base, rare = theta["noise_2"].unbind()
        variance = (base + rare * (-0.5 * count).exp()).exp()  # exp(-log(1 + n) / 2)
        return Items(phi @ _lower(theta), offset + residual[..., 0], variance)


def prior_of(theta: Theta) -> tuple[Tensor, Tensor]:
    """Map and intercept of the whitened prior mean: ``L^-1 (A x_u + a)``."""
    lower = _lower(theta)
    return (
        torch.linalg.solve_triangular(lower, theta["mean_FE"].mT, upper=False).mT,
        torch.linalg.solve_triangular(lower, theta["mean_1E"].mT, upper=False).mT,
    )


def posterior(psi_BSE: Tensor, target_BS: Tensor, prior_BE: Tensor) -> tuple[Tensor, Tensor]:
    """Posterior of weights with prior ``N(prior_BE, I)`` and unit noise; a row of zeros is no data.

    Solves in the smaller of the spaces of ratings and of weights.
    """
    S, E = psi_BSE.shape[-2:]
    residual_BS1 = torch.baddbmm(target_BS.unsqueeze(-1), psi_BSE, prior_BE.unsqueeze(-1), alpha=-1)
    eye = torch.eye(min(S, E), dtype=psi_BSE.dtype, device=psi_BSE.device)
    if S < E:
        factor_BSS = torch.linalg.cholesky_ex(torch.baddbmm(eye, psi_BSE, psi_BSE.mT)).L
        both = torch.cat([psi_BSE, residual_BS1], -1)
        half = torch.linalg.solve_triangular(factor_BSS, both, upper=False)
        half_BSE, residual_BS1 = half[..., :E], half[..., E:]
        full = torch.eye(E, dtype=psi_BSE.dtype, device=psi_BSE.device)
        cov_BEE = torch.baddbmm(full, half_BSE.mT, half_BSE, alpha=-1)
        step_BE1 = half_BSE.mT @ residual_BS1
    else:
        factor_BEE = torch.linalg.cholesky_ex(torch.baddbmm(eye, psi_BSE.mT, psi_BSE)).L
        cov_BEE = torch.cholesky_inverse(factor_BEE)
        step_BE1 = cov_BEE @ (psi_BSE.mT @ residual_BS1)
    return prior_BE + step_BE1.squeeze(-1), cov_BEE


def _lower(theta: Theta) -> Tensor:
    """Cholesky factor of the prior covariance."""
    return theta["lower_EE"].tril(-1) + torch.diag(theta["log_diagonal_E"].exp())


def _rows(items: Items) -> Tensor:
    """What adapting reads of an item in one row ``[..., E + 2]``: (phi, offset, 1) / noise."""
    parts = [items.phi, items.offset.unsqueeze(-1), torch.ones_like(items.phi[..., :1])]
    return torch.cat(parts, -1) * items.variance.rsqrt().unsqueeze(-1)


def _adapt(rows_BSX: Tensor, prior: tuple[Tensor, Tensor], support: Support) -> State:
    map_FE, intercept_1E = prior
    E = intercept_1E.shape[-1]
    prior_BE = torch.addmm(intercept_1E, support.users_BF, map_FE)
    rows_BSX = rows_BSX * support.mask_BS.unsqueeze(-1)  # a row of zeros is no rating
    offset_BS, scale_BS = rows_BSX[..., E], rows_BSX[..., E + 1]
    target_BS = support.targets_BS * scale_BS - offset_BS
    mean_BE, cov_BEE = posterior(rows_BSX[..., :E], target_BS, prior_BE)
    return {"mean_BE": mean_BE, "cov_BEE": cov_BEE}


def _score(items: Items, state: State) -> Prediction:
    mean_BQ = items.offset + (items.phi @ state["mean_BE"].unsqueeze(-1)).squeeze(-1)
    spread_BQ = ((items.phi @ state["cov_BEE"]) * items.phi).sum(-1)
    return Prediction(mean_BQ, spread_BQ + items.variance)
