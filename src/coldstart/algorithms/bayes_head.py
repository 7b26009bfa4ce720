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

Work is done with whitened weights L^-1 w, for which the prior covariance is the identity. A user is
a sum of vectors that are fixed per item, and a small solve. To serve, both are done in numpy on the
tensors' own memory: for one user, dispatch is most of the cost of a torch call.

Legend: B users, S support, Q query, N items, E features, F user features, J description of an item,
X = E * E + 3 * E + 3 what an item adds to a user.
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

from coldstart.algorithms.base import MetaLearner, Theta
from coldstart.data.episodes import Episodes, Support
from coldstart.models.backbone import Backbone
from coldstart.models.description import chosen, descriptions
from coldstart.models.foldin import Items, cross_moment, evidence, own_variance, second_moment
from coldstart.models.heads import ClickHead, Head, masked_mean
from coldstart.models.recommender import Prediction, State
from coldstart.params import Section

SHAPE = 5.0
"""Of the Gamma prior of t_u before meta-training: worth ten ratings."""


class BayesHeadParams(Section):
    """Step size of the meta-training."""

    outer_rate: float = Field(gt=0, le=1, description="Step size of Adam.")


class Served(NamedTuple):
    """What serving reads, fixed once meta-training is over.

    Of an item, ``rows_NX`` has E[xx'], E[x], E[offset x], B d, E[offset^2], offset and 1; x and B d
    are whitened, and all but B d is divided by the variance of the item's noise.
    """

    rows_NX: NDArray[Any]
    prior_FE: NDArray[Any]
    eye_EE: NDArray[Any]
    damping: float
    phi_EN: Tensor
    offset_N: Tensor


class BayesHead(MetaLearner[BayesHeadParams]):
    """Exact posterior of each user's weights under a meta-learned prior."""

    kind = "bayes_head"
    Params = BayesHeadParams
    mixed_precision = False  # the solve would be of rounded normal equations

    @classmethod
    def initial(cls, backbone: Backbone, params: BayesHeadParams, head: Head, seed: int) -> Theta:
        """The prior that comes with the backbone; nothing is random."""
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
        return self._solved(
            {
                "precision_BEE": _identity(lower_EE) + lower_EE.mT @ gram_BEE @ lower_EE,
                "right_BE": right_BE @ lower_EE,
                "square_B1": (weight_BS * square_BS).sum(1, keepdim=True),
                "choice_BE": _whiten(lower_EE, chosen_BJ @ self.backbone.choice_JD),
                "attributes_BE": _whiten(lower_EE, support.users_BF @ self.backbone.prior_FD),
                "count_B1": support.mask_BS.sum(1, keepdim=True).to(right_BE.dtype),
            }
        )

    def adapt(self, support: Support) -> State:
        """See :meth:`Recommender.adapt`; equals :meth:`adapt_with` on the table of new users."""
        if support.items_BS.device.type != "cpu":
            return super().adapt(support)
        served = self._served
        mask_BS = support.mask_BS.numpy().astype(served.rows_NX.dtype)
        sums = self._sums(support.items_BS, support.targets_BS, mask_BS)
        attributes_BE = support.users_BF.numpy() @ served.prior_FE
        count_B1 = mask_BS.sum(1, keepdims=True)
        precision_BEE = sums["second_BEE"] + served.eye_EE
        moment_BE = (
            sums["right_BE"] + attributes_BE + sums["choice_BE"] / (count_B1 + served.damping)
        )
        state = {
            "precision_BEE": precision_BEE,
            "right_BE": sums["right_BE"],
            "square_B1": sums["square_B1"],
            "choice_BE": sums["choice_BE"],
            "attributes_BE": attributes_BE,
            "count_B1": count_B1,
            "mean_BE": np.linalg.solve(precision_BEE, moment_BE[..., None])[..., 0],
        }
        return {name: torch.from_numpy(value) for name, value in state.items()}

    def score_with(
        self, theta: Theta, state: State, items_BQ: Tensor, crossfit_B: Tensor
    ) -> Prediction:
        """Predictive mean and variance."""
        lower_EE, table_B1 = _lower(theta), crossfit_B.unsqueeze(1)
        items = self._items(items_BQ, table_B1)
        root_BEE = torch.linalg.solve_triangular(
            torch.linalg.cholesky(state["precision_BEE"]), lower_EE.mT, upper=False
        )
        covariance_BEE = root_BEE.mT @ root_BEE
        mean_BE = state["mean_BE"] @ lower_EE.mT
        mean_BQ = items.offset + (items.x @ mean_BE.unsqueeze(-1)).squeeze(-1)
        spread_BQ = (items.x @ root_BEE.mT).square().sum(-1)
        own_BQ = own_variance(items, mean_BE, covariance_BEE)
        noise_BQ = self._noise(theta, items_BQ, table_B1) / _exactness(theta, state)
        return Prediction(mean_BQ, spread_BQ + own_BQ + noise_BQ)

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
        """Add one rating per user to the state: exactly what adapting to all of them gives."""
        one_BS = np.ones((len(items_B), 1), self._served.rows_NX.dtype)
        totals = self._sums(items_B.unsqueeze(1), targets_B.unsqueeze(1), one_BS)
        sums = {name: torch.from_numpy(value) for name, value in totals.items()}
        return self._solved(
            {
                "precision_BEE": state["precision_BEE"] + sums.pop("second_BEE"),
                "attributes_BE": state["attributes_BE"],
                "count_B1": state["count_B1"] + 1,
            }
            | {name: state[name] + value for name, value in sums.items()}
        )

    def _sums(
        self, items_BS: Tensor, targets_BS: Tensor, mask_BS: NDArray[Any]
    ) -> dict[str, NDArray[Any]]:
        """What ratings add to a state, in numpy: items' columns times 1, target and its square."""
        E = len(self._served.eye_EE)
        powers_B3S = np.empty((len(mask_BS), 3, mask_BS.shape[1]), mask_BS.dtype)
        powers_B3S[:, 0] = mask_BS
        y_BS = targets_BS.numpy()
        np.multiply(y_BS, mask_BS, out=powers_B3S[:, 1])
        np.multiply(y_BS, powers_B3S[:, 1], out=powers_B3S[:, 2])
        sums_B3X = powers_B3S @ self._served.rows_NX.take(items_BS.numpy(), 0)
        ones_BX, y_BX, square_BX = sums_B3X[:, 0], sums_B3X[:, 1], sums_B3X[:, 2]
        x, cross, choice = (slice(E * E + n * E, E * E + n * E + E) for n in range(3))
        return {
            "second_BEE": ones_BX[:, : E * E].reshape(-1, E, E),
            "right_BE": y_BX[:, x] - ones_BX[:, cross],
            "choice_BE": ones_BX[:, choice],
            "square_B1": ones_BX[:, -3:-2] - 2 * y_BX[:, -2:-1] + square_BX[:, -1:],
        }

    def _solved(self, state: State) -> State:
        """The same sums with the posterior mean."""
        choice_BE = state["choice_BE"] / (state["count_B1"] + self.backbone.choice_damping)
        moment_BE = state["right_BE"] + state["attributes_BE"] + choice_BE
        factor_BEE = torch.linalg.cholesky(state["precision_BEE"])
        mean_BE1 = torch.cholesky_solve(moment_BE.unsqueeze(-1), factor_BEE)
        return state | {"mean_BE": mean_BE1.squeeze(-1)}

    @cached_property
    def _described(self) -> Tensor:
        """``[C, N, J]``."""
        return descriptions(self.backbone)

    @cached_property
    def _served(self) -> Served:
        with torch.inference_mode(False), torch.no_grad():
            lower_EE = _lower(self.theta)
            everything_N = torch.arange(self.n_items, device=lower_EE.device)
            table_N = torch.zeros_like(everything_N)
            items = self._items(everything_N, table_N)
            weight_N1 = 1 / self._noise(self.theta, everything_N, table_N).unsqueeze(-1)
            chosen_NE = self._described[0] @ self.backbone.choice_JD
            phi_NE = items.x @ lower_EE
            square_N = items.offset.square() + _offset_variance(items)
            parts = [
                (lower_EE.mT @ second_moment(items) @ lower_EE).flatten(1) * weight_N1,
                phi_NE * weight_N1,
                cross_moment(items) @ lower_EE * weight_N1,
                _whiten(lower_EE, chosen_NE),
                torch.stack([square_N, items.offset, torch.ones_like(square_N)], -1) * weight_N1,
            ]
            return Served(
                rows_NX=torch.cat(parts, -1).cpu().numpy(),
                prior_FE=_whiten(lower_EE, self.backbone.prior_FD).cpu().numpy(),
                eye_EE=_identity(lower_EE).cpu().numpy(),
                damping=float(self.backbone.choice_damping),
                phi_EN=phi_NE.mT.contiguous(),
                offset_N=items.offset,
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


def _exactness(theta: Theta, state: State) -> Tensor:
    """Mean of t_u: ``[B, 1]``; from the expected squared error of the support over its noise."""
    mean_BE, precision_BEE = state["mean_BE"], state["precision_BEE"]
    gram_BEE = precision_BEE - _identity(precision_BEE[0])
    inverse_BEE = torch.cholesky_inverse(torch.linalg.cholesky(precision_BEE))
    second_BEE = inverse_BEE + mean_BE.unsqueeze(-1) * mean_BE.unsqueeze(-2)
    error_B1 = state["square_B1"] - 2 * (state["right_BE"] * mean_BE).sum(1, keepdim=True)
    error_B1 = error_B1 + (gram_BEE * second_BEE).sum((1, 2)).unsqueeze(-1)
    shape = theta["log_shape"].exp()
    return (shape + state["count_B1"] / 2) / (shape + error_B1 / 2)


def _offset_variance(items: Items) -> Tensor:
    own = items.covariance
    return torch.zeros_like(items.offset) if own is None else own[..., 0, 0]


def _lower(theta: Theta) -> Tensor:
    """Cholesky factor of the prior covariance."""
    return theta["lower_EE"].tril(-1) + torch.diag(theta["log_diagonal_E"].exp())


def _whiten(lower_EE: Tensor, weights_BE: Tensor) -> Tensor:
    """``L^-1 w`` for each row."""
    solved_EB: Tensor = torch.linalg.solve_triangular(lower_EE, weights_BE.mT, upper=False)
    return solved_EB.mT


def _identity(like_EE: Tensor) -> Tensor:
    return torch.eye(len(like_EE), dtype=like_EE.dtype, device=like_EE.device)
