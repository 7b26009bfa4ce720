"""One newcomer, three signals: what they choose, what they like, and how they rate it.

The trunk describes a user by what the backbone's closed forms make of the support: coordinates of
exposure (from *which* items were rated) and of taste (from the ratings). One layer on either side,
shared by all signals, turns user and item into products of H units, of which every signal takes a
combination of its own. It corrects the closed form of the signal and starts at zero:

    exposure  log P(rates i) = log(p_i + v_i . z) + correction
    rating    r = offset_i + x_i . w + correction
    like      logit P(likes i) = steepness (r - threshold) + correction

Losses are weighed by learned homoscedastic uncertainties, ``(L / s^2 + log s^2) / 2`` per signal
(Kendall, Gal & Cipolla 2018; the form of a Gaussian for all three). Exposure is a softmax over the
query items of the whole batch, corrected for how often each is drawn (Bengio & Senecal 2008;
Yi et al. 2019). Predicted is the rating, with the variance of the closed form scaled to the errors
of validation users; the catalogue is ranked by P(rates i) P(likes i).

Legend: B users, S support, Q query, N items, I of them, M candidates, C tables, D features,
E factors of exposure, F user features, X and Y inputs of items and users, H units, T signals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, Self

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from coldstart.algorithms._base import Theta
from coldstart.algorithms._multitask_items import Items, inputs, products, tables, user_inputs
from coldstart.algorithms._multitask_server import MultiTaskServer, Tables
from coldstart.algorithms._ranks_apart import RanksApart
from coldstart.data.choices import Chooser, choose
from coldstart.data.episodes import Episodes, Support
from coldstart.models.backbone import Backbone
from coldstart.models.choosing import Choosing
from coldstart.models.floors import LEAST_FACTOR
from coldstart.models.foldin import FoldIn, found_in, predictive
from coldstart.models.heads import HEADS, Head, RatingHead, masked_mean
from coldstart.models.recommender import Prediction, State, named, part_of
from coldstart.models.server import Server, TorchServer
from coldstart.models.user_prior import linear_model
from coldstart.params import Section, search

EXPOSURE, TASTE = "exposure.", "taste."
"""Prefixes, in a state, of the two fold-ins."""
SIGNALS = ("exposure", "like", "rating")
LEAST = 0.1
"""Smallest expected exposure, as a share of the item's popularity: a linear model's may be
negative."""
LOGISTIC = 1.702
"""Slope at which a logistic curve is closest to the normal distribution function."""


class MultiTaskParams(Section):
    """Width of the trunk and the step size."""

    hidden: int = Field(
        ge=1,
        le=1024,
        json_schema_extra=search(8, 128, log=True),
        description="Units of the shared trunk.",
    )
    outer_rate: float = Field(
        gt=0,
        le=1,
        json_schema_extra=search(1e-4, 1e-2, log=True),
        description="Step size of Adam.",
    )


class Scores(NamedTuple):
    """A number per user and item for each signal: ``[B, I]``."""

    exposure: Tensor  # log-probability, up to a constant per user
    like: Tensor  # log-odds
    rating: Tensor  # target units


class MultiTask(RanksApart[MultiTaskParams]):
    """A shared trunk over exposure, like and rating."""

    kind = "multitask"
    Params = MultiTaskParams
    independent_users = False  # the others are the negatives
    mixed_precision = False

    @classmethod
    def initial(cls, backbone: Backbone, params: MultiTaskParams, head: Head, seed: int) -> Theta:
        """The closed forms; uncertainties are those of a user of whom nothing is known."""
        generator = torch.Generator().manual_seed(seed)
        X, Y, H = inputs(backbone).shape[-1], user_inputs(backbone), params.hidden
        noise, ratings = float(backbone.noise), isinstance(head, RatingHead)
        slope = math.log(LOGISTIC / math.sqrt(noise)) if ratings else 0.0
        surprise = [math.log(backbone.n_items), math.log(2), noise]
        return {
            "item_XH": torch.randn(X, H, generator=generator) / math.sqrt(X),
            "user_YH": torch.randn(Y, H, generator=generator) / math.sqrt(Y),
            "user_H": torch.zeros(H),
            "task_HT": torch.zeros(H, len(SIGNALS)),
            "like_2": torch.tensor([slope, float(backbone.like) if ratings else 0.0]),
            "exposure_noise": backbone.exposure.noise.log(),
            "log_variance_T": torch.tensor(surprise).log(),
            "log_spread": torch.zeros(()),  # no loss reads it, see ``calibrated``
        }

    def outer_rate(self, step: int, max_steps: int) -> float:
        """Falls along a half cosine to zero."""
        return self.params.outer_rate * 0.5 * (1 + math.cos(math.pi * (step - 1) / max_steps))

    def query_loss(self, theta: Theta, episodes: Episodes, *, training: bool) -> Tensor:
        """All signals' losses, each over its uncertainty: ``[B]``.

        Selection on validation users (not training) keeps the uncertainties that training starts
        with, so that all candidates are measured alike.
        """
        episodes = episodes.without_negatives()  # what is not chosen has a signal of its own
        support = episodes.support
        state = self.adapt_with(theta, support, training=training)
        scores = self._scores(theta, state, self._items(episodes.items_BQ, support.crossfit_B))
        losses_BT = torch.stack(self._losses(theta, state, scores, episodes), -1)
        at = theta if training else self._start
        log_variance_T = at["log_variance_T"][: losses_BT.shape[-1]]
        return weighted(losses_BT, log_variance_T.to(losses_BT.dtype)).sum(-1)

    def adapt_with(self, theta: Theta, support: Support, *, training: bool) -> State:
        """Posterior means of exposure and taste, and what the trunk makes of them."""
        del training  # both are solves
        choosing = self._choosing(theta).adapt(support)
        return self._state(theta, choosing, self._tasting.adapt(support), support.users_BF)

    def update_one(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """Exact: both fold-ins are."""
        with torch.no_grad():
            choosing = self._choosing(self.theta).update(part_of(state, EXPOSURE), items_B)
            tasting = self._tasting.update(part_of(state, TASTE), items_B, targets_B)
            return self._state(self.theta, choosing, tasting, state["users_BF"])

    def _state(self, theta: Theta, choosing: State, tasting: State, users_BF: Tensor) -> State:
        z_BE, w_BD = choosing["mean_BE"], tasting["mean_BD"]
        size_D = self.backbone.prior_DD.diagonal().sqrt()
        count_B1 = tasting["count_B"].unsqueeze(-1)
        inputs_BY = torch.cat([z_BE, w_BD / size_D, count_B1.log1p(), users_BF], -1)
        trunk_BH = torch.tanh(inputs_BY @ theta["user_YH"] + theta["user_H"])
        parts = named(choosing, EXPOSURE) | named(tasting, TASTE)
        return parts | {"trunk_BH": trunk_BH, "users_BF": users_BF}

    def score_with(
        self, theta: Theta, state: State, items_BQ: Tensor, crossfit_B: Tensor
    ) -> Prediction:
        """The rating and its predictive variance, or with the click head the log-odds of a like."""
        served = self._served(self._scores(theta, state, self._items(items_BQ, crossfit_B)))
        if not isinstance(self.head, RatingHead):
            return served
        items = self._tasting.items(items_BQ, crossfit_B.unsqueeze(1))
        _, variance_BQ = predictive(items, found_in(part_of(state, TASTE)))
        spread = theta["log_spread"].exp()
        return Prediction(served.mean, spread * (variance_BQ + self.backbone.noise))

    def calibrated(self, validation: Chooser, shots: Sequence[int]) -> Self:
        """Its variances scaled to be the squared errors on average, over users and shots."""
        if not isinstance(self.head, RatingHead):
            return self
        spread = choose(validation, "log_spread", lambda users: self._log_spread(users, shots))
        return self.with_theta(self.theta | {"log_spread": self.theta["log_spread"] + spread})

    def _log_spread(self, episodes: Episodes, shots: Sequence[int]) -> float:
        episodes, ratios = episodes.to(self.theta["log_spread"].device), []
        for k in shots:
            state = self.adapt(episodes.support.first(k))
            mean_BQ, variance_BQ = self.score(state, episodes.items_BQ)
            assert variance_BQ is not None
            error_BQ = (mean_BQ - episodes.targets_BQ).square() / variance_BQ
            ratios.append(episodes.mean_over_users(error_BQ))
        return float(torch.stack(ratios).mean().clamp(min=LEAST_FACTOR).log())

    def score_catalogue(self, state: State) -> Prediction:
        """See :meth:`Recommender.score_catalogue`."""
        with torch.no_grad():
            return self.predict(self._served(self._scores(self.theta, state, self._catalogue)))

    def rank_one(self, state: State) -> Tensor:
        """``log P(rates i) + log P(likes i)``, see :meth:`Recommender.rank_catalogue`."""
        with torch.no_grad():
            scores = self._scores(self.theta, state, self._catalogue)
            return scores.exposure + functional.logsigmoid(scores.like)

    def serve_one(self) -> Server:
        """In numpy with the rating head, see :class:`MultiTaskServer`."""
        if not isinstance(self.head, RatingHead):
            return TorchServer(self.with_theta(self.theta))
        with torch.inference_mode(False), torch.no_grad():
            items = self._catalogue
            tables = Tables(
                share_N=items.share_BI[0].numpy(),
                least_N=(LEAST * items.share_BI[0]).numpy(),
                units_NH=(items.inputs_BIX[0] @ self.theta["item_XH"]).numpy(),
                taste_size_D=self.backbone.prior_DD.diagonal().sqrt().numpy(),
                noise=float(self.backbone.noise),
            )
            return MultiTaskServer(self._choosing(self.theta), self._tasting, tables, self.theta)

    def _choosing(self, theta: Theta) -> Choosing:
        return Choosing(self.backbone.exposure, theta["exposure_noise"].exp())

    @cached_property
    def _tasting(self) -> FoldIn:
        return linear_model(self.backbone)

    def _scores(self, theta: Theta, state: State, items: Items) -> Scores:
        per_user_BHT = state["trunk_BH"].unsqueeze(-1) * theta["task_HT"]
        correction_BIT = (items.inputs_BIX @ theta["item_XH"]) @ per_user_BHT
        expected_BI = items.share_BI + products(items.exposure_BIE, state[f"{EXPOSURE}mean_BE"])
        least_BI = LEAST * items.share_BI
        rating_BI = items.offset_BI + products(items.x_BID, state[f"{TASTE}mean_BD"])
        if isinstance(self.head, RatingHead):
            rating_BI = rating_BI + correction_BIT[..., 2]
        log_slope, threshold = theta["like_2"].unbind()
        like_BI = log_slope.exp() * (self.head.score(rating_BI) - threshold)
        return Scores(
            torch.maximum(expected_BI, least_BI).log() + correction_BIT[..., 0],
            like_BI + correction_BIT[..., 1],
            rating_BI,
        )

    def _served(self, scores: Scores) -> Prediction:
        return Prediction(scores.rating if isinstance(self.head, RatingHead) else scores.like)

    def _losses(
        self, theta: Theta, state: State, scores: Scores, episodes: Episodes
    ) -> list[Tensor]:
        """One per signal, ``[B]`` each; with the click head a rating says no more than a like."""
        targets_BQ, mask_BQ = episodes.targets_BQ, episodes.mask_BQ
        ratings = isinstance(self.head, RatingHead)
        liked_BQ = (targets_BQ > self.backbone.like).to(targets_BQ.dtype)
        losses = [
            self._choice_loss(theta, state, scores.exposure, episodes),
            masked_mean(HEADS["click"].loss(scores.like, liked_BQ), mask_BQ),
        ]
        if ratings:
            losses.append(masked_mean((scores.rating - targets_BQ).square(), mask_BQ))
        return losses

    def _choice_loss(
        self, theta: Theta, state: State, chosen_BQ: Tensor, episodes: Episodes
    ) -> Tensor:
        """Each query item against the other users' query items: ``[B]``."""
        support = episodes.support
        candidates_M = episodes.items_BQ[episodes.mask_BQ]
        items = self._candidates(candidates_M, support.crossfit_B)
        others_BM = self._scores(theta, state, items).exposure - self._log_draw[candidates_M]
        own_BT = torch.cat([support.items_BS, episodes.items_BQ], 1)
        own_BN = own_BT.new_zeros(support.n_users, self.n_items, dtype=torch.bool)
        hit_BM = own_BN.scatter_(1, own_BT, True)[:, candidates_M]
        rest_B1 = others_BM.masked_fill(hit_BM, -torch.inf).logsumexp(-1, keepdim=True)
        own_BQ = chosen_BQ - self._log_draw[episodes.items_BQ]
        return masked_mean(functional.softplus(rest_B1 - own_BQ), episodes.mask_BQ)

    def _items(self, items_BI: Tensor, crossfit_B: Tensor) -> Items:
        at = crossfit_B.unsqueeze(1), items_BI
        return Items(*(table[at] for table in self._tables))

    def _candidates(self, items_M: Tensor, crossfit_B: Tensor) -> Items:
        """The same items for all users; read once where they all read one table."""
        tables_C = torch.unique(crossfit_B)
        if len(tables_C) == 1:
            return self._items(items_M.unsqueeze(0), tables_C)
        return self._items(items_M.expand(len(crossfit_B), -1), crossfit_B)

    @cached_property
    def _tables(self) -> Items:
        return tables(self.backbone)

    @cached_property
    def _catalogue(self) -> Items:
        return Items(*(table[:1] for table in self._tables))

    @cached_property
    def _log_draw(self) -> Tensor:
        """How often an item comes up in a batch, add-one smoothed, as a logarithm: ``[N]``."""
        count_N = self.backbone.count_CN[0] + 1
        return (count_N / count_N.sum()).log()

    @cached_property
    def _start(self) -> Theta:
        start = self.initial(self.backbone, self.params, self.head, seed=0)
        device = self.backbone.offset_CN.device
        return {name: value.to(device) for name, value in start.items()}


def weighted(losses: Tensor, log_variances: Tensor) -> Tensor:
    """``(L / s^2 + log s^2) / 2`` for each signal; least where ``s^2 = L``."""
    return 0.5 * (losses * (-log_variances).exp() + log_variances)
