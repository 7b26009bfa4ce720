"""Meta-learners that adapt a user's copy of network weights by gradient steps.

Legend: B users, S support, Q query, N items, D features, F user features.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

import torch
from pydantic import Field
from torch import Tensor

from coldstart.algorithms._base import MetaLearner, Theta, in_chunks, ordinary
from coldstart.algorithms._inner_loop import FanInSGD, Rule, Weights, descend
from coldstart.algorithms._network import (
    Items,
    NetworkParams,
    correction,
    initial_weights,
    item_tables,
    prior_prediction,
    subset,
)
from coldstart.algorithms._online import RuleName, online_step
from coldstart.data.episodes import Support
from coldstart.models.backbone import Backbone
from coldstart.models.heads import Head
from coldstart.models.recommender import Prediction, State, one_rating
from coldstart.params import search


class InnerParams(NetworkParams):
    """How a user adapts by gradient steps."""

    inner_steps: int = Field(
        ge=0, le=100, json_schema_extra=search(1, 10), description="Gradient steps on the support."
    )
    inner_rate: float = Field(
        gt=0,
        le=10,
        json_schema_extra=search(0.01, 1, log=True),
        description="Step size on the support.",
    )
    shrinkage: float = Field(
        ge=0,
        json_schema_extra=search(0.5, 100, log=True),
        description="Support loss: the sum over K ratings over (K + this); 0: mean.",
    )


class OuterParams(InnerParams):
    """The same, meta-trained."""

    outer_rate: float = Field(
        gt=0,
        le=1,
        json_schema_extra=search(3e-4, 3e-2, log=True),
        description="Step size of the meta-update.",
    )


G = TypeVar("G", bound=InnerParams)


class GradientLearner(MetaLearner[G]):
    """Adapts by ``inner_steps`` steps of a rule on the support loss."""

    exact_update = False
    second_order = False
    """Whether meta-training differentiates through the inner steps."""

    @classmethod
    def initial(cls, backbone: Backbone, params: G, head: Head, seed: int) -> Theta:
        """The network of :mod:`~coldstart.algorithms._network`, which starts as the backbone."""
        return initial_weights(backbone, params, seed)

    def rule(self, theta: Theta, support: Support) -> Rule:
        """The inner update; a new one for every loop."""
        del theta, support
        return FanInSGD(self.params.inner_rate)

    def adapt_with(self, theta: Theta, support: Support, *, training: bool) -> State:
        """Each user's own copy of the adapted weights, and the user's attributes."""
        return self.descend_from(self.start(theta, support), theta, support, training=training)

    def descend_from(
        self, start: Weights, theta: Theta, support: Support, *, training: bool
    ) -> State:
        """The state of users whose weights descend from ``start``."""
        adapted = descend(
            self.inner_loss(theta, support),
            start,
            self.params.inner_steps,
            self.rule(theta, support),
            second_order=training and self.second_order,
        )
        if not training:
            adapted = {name: value.detach() for name, value in adapted.items()}
        return adapted | {"users_B1F": support.users_BF.unsqueeze(1)}

    def start(self, theta: Theta, support: Support) -> Weights:
        """The weights that users adapt, as all of them start: ``[B, ...]`` each."""
        return {n: theta[n].expand(support.n_users, *theta[n].shape) for n in self._adapted}

    def inner_loss(self, theta: Theta, support: Support) -> Callable[[Weights], Tensor]:
        """What the inner steps descend, here the shrunk loss on the support: ``[B]`` of weights."""
        users_B1F = support.users_BF.unsqueeze(1)
        items = self._items(support.items_BS, support.crossfit_B)
        weight_B = 1.0 / (support.mask_BS.sum(-1) + self.params.shrinkage).clamp(min=1.0)
        shared = {name: value for name, value in theta.items() if name not in self._adapted}

        def loss(weights: Weights) -> Tensor:
            score_BS = self._score(shared | weights, items, users_B1F)
            loss_BS = self.head.loss(score_BS, support.targets_BS)
            return loss_BS.masked_fill(~support.mask_BS, 0.0).sum(-1) * weight_B

        return loss

    def update(
        self,
        state: State,
        items_B: Tensor,
        targets_B: Tensor,
        rule: RuleName = "sgd",
        rate: float | None = None,
    ) -> State:
        """Add one rating per user to the state by a step on it, see ``algorithms/_online.py``.

        Not what adapting to all ratings at once gives, which takes ``inner_steps`` on all of them.
        ``rate`` is that of the rule; None: the inner rate.
        """
        rate = self.params.inner_rate if rate is None else rate
        with torch.inference_mode(False), torch.no_grad():
            state = ordinary(state)
            one = one_rating(items_B.clone(), targets_B.clone(), state["users_B1F"].squeeze(1))
            loss = self.inner_loss(self.theta, one)
            return online_step(loss, state, self._adapted, rule, rate)

    def score_with(
        self, theta: Theta, state: State, items_BQ: Tensor, crossfit_B: Tensor
    ) -> Prediction:
        """Scores of the network with each user's weights."""
        items = self._items(items_BQ, crossfit_B)
        return Prediction(self._score(theta | state, items, state["users_B1F"]))

    def score_catalogue(self, state: State) -> Prediction:
        """See :meth:`Recommender.score_catalogue`; users in chunks, to bound memory."""
        table = Items(*(part[:1] for part in self._tables))

        def score(part: State) -> Tensor:
            return self._score(self.theta | part, table, part["users_B1F"])

        with torch.no_grad():
            rows = self.n_items * self.params.hidden
            return self.predict(Prediction(in_chunks(score, state, rows)))

    @cached_property
    def _adapted(self) -> tuple[str, ...]:
        return subset(self.params.adapt)

    @cached_property
    def _tables(self) -> Items:
        return item_tables(self.backbone)

    def _items(self, items_BI: Tensor, crossfit_B: Tensor) -> Items:
        table_B1 = crossfit_B.unsqueeze(1)
        return Items(*(part[table_B1, items_BI] for part in self._tables))

    def _score(self, weights: Weights, items: Items, users_B1F: Tensor) -> Tensor:
        prior_BI = self.head.score(prior_prediction(weights, items, users_B1F))
        return prior_BI + correction(weights, items, users_B1F)
