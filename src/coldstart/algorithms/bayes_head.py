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

Legend: B users, S support, Q query, C tables, N items, D features (E in names that bundles hold).
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from coldstart.algorithms._base import MetaLearner, Theta
from coldstart.data.episodes import Episodes, Support
from coldstart.models.backbone import Backbone
from coldstart.models.floors import LEAST_SPREAD
from coldstart.models.foldin import FoldIn, expected_error, found_in, known_of, predictive
from coldstart.models.foldin_alone import FoldInServer, Known
from coldstart.models.heads import ClickHead, Head, masked_mean
from coldstart.models.recommender import Prediction, State
from coldstart.models.server import Floats, Ints, Ratings, Server
from coldstart.models.user_prior import linear_model
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
        lower_DD = torch.linalg.cholesky(backbone.prior_DD)
        return {
            "lower_EE": lower_DD.tril(-1),
            "log_diagonal_E": lower_DD.diagonal().log(),
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
        """Posterior of the weights, and the sums that it comes from."""
        del training  # the solve is the same
        return self.model(theta).adapt(support)

    def update(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """Exact, see :meth:`FoldIn.update`."""
        with torch.no_grad():
            return self.model(self.theta).update(state, items_B, targets_B)

    def model(self, theta: Theta) -> FoldIn:
        """All cross-fitted tables as a linear model, under the prior and noise of ``theta``."""
        precision_DD = torch.cholesky_inverse(torch.linalg.cholesky(_covariance(theta)))
        return self._untrained._replace(weight_CN=1 / self.noise(theta), precision_DD=precision_DD)

    def noise(self, theta: Theta) -> Tensor:
        """Variance of the noise, more for an item that few have rated: ``[C, N]``."""
        base, rare = theta["noise_2"].unbind()
        return (base + rare * (1 + self.backbone.count_CN).rsqrt()).exp()

    def score_with(
        self, theta: Theta, state: State, items_BQ: Tensor, crossfit_B: Tensor
    ) -> Prediction:
        """Predictive mean and variance."""
        table_B1, found = crossfit_B.unsqueeze(1), found_in(state)
        mean_BQ, variance_BQ = predictive(self.model(theta).items(items_BQ, table_B1), found)
        error_B = expected_error(known_of(state), found)
        exactness_B = exactness(theta["log_shape"].exp(), state["count_B"], error_B)
        noise_BQ = self.noise(theta)[table_B1, items_BQ] / exactness_B.unsqueeze(1)
        return Prediction(mean_BQ, variance_BQ + noise_BQ)

    def score_catalogue(self, state: State) -> Prediction:
        """Posterior means; to rank a catalogue takes no variance."""
        offset_N, x_ND = self.backbone.offset_CN[0], self.backbone.features_CND[0]
        return self.predict(Prediction(torch.addmm(offset_N, state["mean_BD"], x_ND.mT)))

    def predict(self, scores: Prediction) -> Prediction:
        """Clips to probabilities where targets are likes."""
        if isinstance(self.head, ClickHead):
            margin = self.head.margin
            return Prediction(scores.mean.clamp(margin, 1 - margin), scores.variance)
        return scores

    def serve(self) -> Server:
        """See :class:`BayesHeadServer`."""
        return BayesHeadServer(self)

    @cached_property
    def _untrained(self) -> FoldIn:
        return linear_model(self.backbone)


class BayesHeadServer(FoldInServer):
    """:class:`BayesHead` for one user alone."""

    def __init__(self, learner: BayesHead) -> None:
        with torch.inference_mode(False), torch.no_grad():
            super().__init__(learner.model(learner.theta))
            self._noise_N = learner.noise(learner.theta)[0].numpy()
        self._shape = float(learner.theta["log_shape"].exp())
        self._margin = learner.head.margin if isinstance(learner.head, ClickHead) else None

    def rank(self, state: Known) -> Floats:
        """Posterior means."""
        return self._in_bounds(super().rank(state))

    def score(self, state: Known, items_Q: Ints) -> Ratings:
        """Predictive mean and variance."""
        mean_Q, variance_Q = super().score(state, items_Q)
        assert variance_Q is not None
        noise_Q = self._noise_N.take(items_Q)
        noise_Q = noise_Q / exactness(self._shape, state.size, self.expected_error(state))
        return Ratings(self._in_bounds(mean_Q), variance_Q + noise_Q)

    def _in_bounds(self, scores: Floats) -> Floats:
        return scores if self._margin is None else scores.clip(self._margin, 1 - self._margin)


def exactness(shape: Any, count: Any, error: Any) -> Any:
    """Mean of t_u, whose prior is Gamma(shape, shape): of tensors or of numbers.

    Args:
        shape: of the prior.
        count: ratings of the support.
        error: their expected squared errors over their noise, summed.
    """
    return (shape + count / 2) / (shape + error / 2)


def _covariance(theta: Theta) -> Tensor:
    """Prior covariance ``[D, D]``; a step of training may leave no direction without a spread."""
    lower_DD = _lower(theta)
    least_D = torch.full_like(lower_DD[0], LEAST_SPREAD)
    return lower_DD @ lower_DD.mT + torch.diag(least_D)


def _lower(theta: Theta) -> Tensor:
    """Cholesky factor of the prior covariance: ``[D, D]``."""
    return theta["lower_EE"].tril(-1) + torch.diag(theta["log_diagonal_E"].exp())
