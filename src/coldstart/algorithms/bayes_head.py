"""A Bayesian linear head per user, solved in closed form, under a meta-learned prior.

y = offset_i + x_i . w + e,  w ~ N(m_u, L L'),  e ~ N(0, s_i^2 / t_u). Item features x and their own
uncertainty are the backbone's. The prior mean ``m_u = A x_u + sum_i B d_i / (K + c)`` follows from
the user's attributes and from *which* items were rated: what newcomers choose to rate says
something before their ratings do. L and the noise follow the gradient of the query's likelihood
through the solve (ALPaCA, Harrison et al. 2018, with an informed prior mean and uncertain features
that stay as they are), from the estimates that come with the backbone: untrained, this is its
fold-in. A and B are the backbone's too: trained along, they only overfit.
How exact a user's ratings are, t_u, follows from how well the support is fitted, under a Gamma
prior with mean 1. It scales the noise of what is predicted, not the weights: those read t_u = 1,
which is as accurate and keeps their solve linear.
With the click-through head the same Gaussian model is fitted to targets 0 and 1 and its mean is
clipped to probabilities.

Legend: B users, S support, Q query, N items, E features, F user features, J description of an item,
X numbers that ratings add to a user (``bayes_sums.py``).
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from pydantic import Field
from torch import Tensor

from coldstart.algorithms._base import MetaLearner, Theta
from coldstart.algorithms._bayes_serving import Served
from coldstart.algorithms._bayes_sums import Sums, exactness, precision, solved
from coldstart.data.episodes import Episodes, Support
from coldstart.models.backbone import Backbone
from coldstart.models.description import chosen, descriptions
from coldstart.models.foldin import Items, cross_moment, evidence, own_variance, second_moment
from coldstart.models.heads import ClickHead, Head, masked_mean
from coldstart.models.recommender import Prediction, State
from coldstart.params import Section, search

SHAPE = 5.0
"""Of the Gamma prior of t_u before meta-training: worth ten ratings."""


class BayesHeadParams(Section):
    """Step size of the meta-training."""

    outer_rate: float = Field(
        gt=0,
        le=1,
        json_schema_extra=search(1e-4, 1e-2, log=True),
        description="Step size of Adam.",
    )


class BayesHead(MetaLearner[BayesHeadParams]):
    """Exact posterior of each user's weights under a meta-learned prior."""

    kind = "bayes_head"
    Params = BayesHeadParams
    mixed_precision = False  # the solve would be of rounded normal equations

    @classmethod
    def initial(cls, backbone: Backbone, params: BayesHeadParams, head: Head, seed: int) -> Theta:
        """Prior and noise that come with the backbone; nothing is random."""
        del params, head, seed
        lower_EE = torch.linalg.cholesky(backbone.prior_DD)
        return {
            "lower_EE": lower_EE.tril(-1),
            "log_diagonal_E": lower_EE.diagonal().log(),
            "noise_2": torch.stack([backbone.noise.log(), torch.zeros_like(backbone.noise)]),
            "log_shape": torch.full_like(backbone.noise, math.log(SHAPE)),
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
        """Posterior of the whitened weights, and the sums that it comes from."""
        del training  # the solve is the same
        lower_EE = _lower(theta)
        table_B1 = support.crossfit_B.unsqueeze(1)
        items = self._items(support.items_BS, table_B1)
        weight_BS = support.mask_BS / self._noise(theta, support.items_BS, table_B1)
        gram_BEE, right_BE = evidence(items, support.targets_BS, weight_BS)
        square_BS = (support.targets_BS - items.offset).square() + _offset_variance(items)
        chosen_BJ = chosen(self._described, support)
        sums = Sums(
            lower_EE.mT @ gram_BEE @ lower_EE,
            right_BE @ lower_EE,
            _whiten(lower_EE, chosen_BJ @ self.backbone.choice_JD),
            (weight_BS * square_BS).sum(1, keepdim=True),
            support.mask_BS.sum(1, keepdim=True).to(right_BE.dtype),
        )
        attributes_BE = _whiten(lower_EE, support.users_BF @ self.backbone.prior_FD)
        sums_BX = torch.cat([part.flatten(1) for part in sums], 1)
        return solved(sums_BX, attributes_BE, self.backbone.choice_damping)

    def adapt(self, support: Support) -> State:
        """See :meth:`Recommender.adapt`; equals :meth:`adapt_with` on the table of new users."""
        if support.items_BS.device.type != "cpu":
            return super().adapt(support)
        served = self._served
        sums_BX = served.sums(support)
        attributes_BE = support.users_BF.numpy() @ served.attributes_FE
        return {
            "sums_BX": torch.from_numpy(sums_BX),
            "attributes_BE": torch.from_numpy(attributes_BE),
            "mean_BE": torch.from_numpy(served.mean(sums_BX, attributes_BE)),
        }

    def score_with(
        self, theta: Theta, state: State, items_BQ: Tensor, crossfit_B: Tensor
    ) -> Prediction:
        """Predictive mean and variance."""
        lower_EE, table_B1 = _lower(theta), crossfit_B.unsqueeze(1)
        items = self._items(items_BQ, table_B1)
        factor_BEE = torch.linalg.cholesky(precision(Sums.of(state["sums_BX"])))
        root_BEE = torch.linalg.solve_triangular(factor_BEE, lower_EE.mT, upper=False)
        covariance_BEE = root_BEE.mT @ root_BEE
        mean_BE = state["mean_BE"] @ lower_EE.mT
        mean_BQ = items.offset + (items.x @ mean_BE.unsqueeze(-1)).squeeze(-1)
        spread_BQ = (items.x @ root_BEE.mT).square().sum(-1)
        own_BQ = own_variance(items, mean_BE, covariance_BEE)
        exactness_B1 = exactness(state, theta["log_shape"].exp())
        noise_BQ = self._noise(theta, items_BQ, table_B1) / exactness_B1
        return Prediction(mean_BQ, spread_BQ + own_BQ + noise_BQ)

    def score_catalogue(self, state: State) -> Prediction:
        """Posterior means; to rank a catalogue takes no variance."""
        mean_BE = state["mean_BE"]
        mean_BN = torch.from_numpy(self._served.catalogue(mean_BE.cpu().numpy()))
        return self.predict(Prediction(mean_BN.to(mean_BE.device)))

    def predict(self, scores: Prediction) -> Prediction:
        """Clips to probabilities where targets are likes."""
        if isinstance(self.head, ClickHead):
            margin = self.head.margin
            return Prediction(scores.mean.clamp(margin, 1 - margin), scores.variance)
        return scores

    def update(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """Add one rating per user to the state: exactly what adapting to all of them gives."""
        items_B, targets_B = items_B.cpu(), targets_B.cpu()  # numpy serves
        one = Support(
            items_BS=items_B.unsqueeze(1),
            targets_BS=targets_B.unsqueeze(1),
            mask_BS=torch.ones(len(items_B), 1, dtype=torch.bool),
            users_BF=torch.empty(len(items_B), 0),
            crossfit_B=torch.zeros_like(items_B),
        )
        more_BX = torch.from_numpy(self._served.sums(one))
        sums_BX = state["sums_BX"] + more_BX.to(state["sums_BX"].device)
        return solved(sums_BX, state["attributes_BE"], self.backbone.choice_damping)

    @cached_property
    def _described(self) -> Tensor:
        """``[C, N, J]``."""
        return descriptions(self.backbone)

    @cached_property
    def _served(self) -> Served:
        with torch.inference_mode(False), torch.no_grad():
            theta, lower_EE = self.theta, _lower(self.theta)
            everything_N = torch.arange(self.n_items, device=lower_EE.device)
            table_N = torch.zeros_like(everything_N)
            items = self._items(everything_N, table_N)
            weight_N1 = 1 / self._noise(theta, everything_N, table_N).unsqueeze(-1)
            chosen_NE = self._described[0] @ self.backbone.choice_JD
            phi_NE = items.x @ lower_EE
            square_N = items.offset.square() + _offset_variance(items)
            parts = [
                (lower_EE.mT @ second_moment(items) @ lower_EE).flatten(1) * weight_N1,
                -(cross_moment(items) @ lower_EE) * weight_N1,
                _whiten(lower_EE, chosen_NE),
                square_N.unsqueeze(-1) * weight_N1,
                torch.ones_like(weight_N1),
                phi_NE * weight_N1,
                -2 * items.offset.unsqueeze(-1) * weight_N1,
                weight_N1,
            ]
            return Served(
                rows_NY=torch.cat(parts, -1).cpu().numpy(),
                attributes_FE=_whiten(lower_EE, self.backbone.prior_FD).cpu().numpy(),
                eye_EE=torch.eye(len(lower_EE), dtype=lower_EE.dtype).numpy(),
                damping=float(self.backbone.choice_damping),
                phi_EN=phi_NE.mT.contiguous().cpu().numpy(),
                offset_N=items.offset.cpu().numpy(),
            )

    def _items(self, items: Tensor, table: Tensor) -> Items:
        """Items as read from cross-fitted tables."""
        own = self.backbone.covariance_NDD
        return Items(
            self.backbone.features_CND[table, items],
            self.backbone.offset_CN[table, items],
            None if own is None else own[items],
        )

    def _noise(self, theta: Theta, items: Tensor, table: Tensor) -> Tensor:
        """Variance of the noise: more for an item that few have rated."""
        base, rare = theta["noise_2"].unbind()
        return (base + rare * (1 + self.backbone.count_CN[table, items]).rsqrt()).exp()


def _offset_variance(items: Items) -> Tensor:
    own = items.covariance
    return torch.zeros_like(items.offset) if own is None else own[..., 0, 0]


def _lower(theta: Theta) -> Tensor:
    """Cholesky factor of the prior covariance: ``[E, E]``."""
    return theta["lower_EE"].tril(-1) + torch.diag(theta["log_diagonal_E"].exp())


def _whiten(lower_EE: Tensor, weights_BE: Tensor) -> Tensor:
    """``L^-1 w`` for each row."""
    solved_EB: Tensor = torch.linalg.solve_triangular(lower_EE, weights_BE.mT, upper=False)
    return solved_EB.mT
