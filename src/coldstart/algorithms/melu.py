"""MeLU (Lee, Im, Jang, Cho & Chung 2019), tuned and as published: decision layers over content.

Users and items are known by their content only. Each field of it is embedded linearly; two decision
layers of ReLU units and a linear output read the embeddings of user and item. The local update
takes plain gradient steps on the decision and output layers; embeddings are shared by all users and
follow the global update (algorithm 1, through the local steps). Neither the backbone's item
features nor its offsets are read, so an untrained MeLU is not the backbone. Content is what a
dataset has; with none MeLU is a constant and what a user adapts of it.

Deviations: content is the user's attributes, genres, year and graph. All attributes share one
embedding; since a backbone does not tell the fields of items apart, each of the three embeddings of
an item is a linear map of all its columns. The output starts at the mean rating of the historical
users, not at 0. Adam is the outer optimiser.

Legend: B users, I items, N catalogue, F user features, G item columns, E embedding of the user,
D embeddings of the item, H hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor

from coldstart.algorithms._base import MetaLearner, Theta, in_chunks, ordinary
from coldstart.algorithms._inner_loop import SGD, Weights, descend
from coldstart.algorithms._network import hidden
from coldstart.data.episodes import Support
from coldstart.models.backbone import Backbone
from coldstart.models.heads import Head, masked_mean
from coldstart.models.recommender import Prediction, State, one_rating
from coldstart.params import Section, search

_GAIN = 1 / 3
"""Variance of a weight times its fan-in, as the authors' layers start; with 2, made for training
without local updates, one of them at a rate of .01 can move a rating by ten points."""
_ITEM_FIELDS = 3
"""Genres, year and graph."""

_DECISION = ("w1_DH", "w1_EH", "b1_1H", "w2_HH", "b2_1H", "w3_H1", "b3_11")


class MeLUParams(Section):
    """Shape of the network, and both updates."""

    embedding: int = Field(ge=1, le=1024, description="Width of an embedding of content.")
    hidden: int = Field(ge=1, le=1024, description="Width of the two decision layers.")
    inner_steps: int = Field(
        ge=0, le=100, json_schema_extra=search(1, 5), description="Local updates."
    )
    inner_rate: float = Field(
        gt=0,
        le=10,
        json_schema_extra=search(1e-3, 3e-2, log=True),
        description="Step size of the local update.",
    )
    outer_rate: float = Field(
        gt=0,
        le=1,
        json_schema_extra=search(3e-4, 3e-2, log=True),
        description="Step size of the global update.",
    )


class PublishedParams(MeLUParams):
    """MeLU's, with the local update as it is printed."""

    inner_steps: int = Field(ge=0, le=100, description="Local updates, 1 in print.")
    inner_rate: float = Field(
        gt=0, le=10, description="Step size of the local update, 5e-6 in print."
    )


class MeLU(MetaLearner[MeLUParams]):
    """Adapts how content is judged, not how it is embedded."""

    kind = "melu"
    exact_update = False
    Params = MeLUParams
    starts_as_backbone = False

    @classmethod
    def initial(cls, backbone: Backbone, params: MeLUParams, head: Head, seed: int) -> Theta:
        """Layers as wide apart as ``torch.nn.Linear`` starts them; the mean rating as output."""
        generator = torch.Generator().manual_seed(seed)
        F, G = backbone.prior_FD.shape[0], backbone.side_NG.shape[1]
        E, H = params.embedding, params.hidden
        D = _ITEM_FIELDS * E

        def normal(rows: int, columns: int, gain: float, inputs: int) -> Tensor:
            scale = math.sqrt(gain / max(inputs, 1))
            return torch.randn(rows, columns, generator=generator) * scale

        count_N = backbone.count_CN[0]
        mean = (count_N @ backbone.offset_CN[0]) / count_N.sum().clamp(min=1)
        return {
            "user_FE": normal(F, E, 1.0, F),
            "item_GD": normal(G, D, 1.0, G),
            "w1_DH": normal(D, H, _GAIN, D + E),
            "w1_EH": normal(E, H, _GAIN, D + E),
            "b1_1H": torch.zeros(1, H),
            "w2_HH": normal(H, H, _GAIN, H),
            "b2_1H": torch.zeros(1, H),
            "w3_H1": normal(H, 1, _GAIN, H),
            "b3_11": head.score(mean).reshape(1, 1),
        }

    def outer_rate(self, step: int, max_steps: int) -> float:
        """Constant."""
        return self.params.outer_rate

    def adapt_with(self, theta: Theta, support: Support, *, training: bool) -> State:
        """Each user's own decision layers, and the user's attributes."""
        adapted = descend(
            self._support_loss(theta, support),
            {name: theta[name].expand(support.n_users, *theta[name].shape) for name in _DECISION},
            self.params.inner_steps,
            SGD(self.params.inner_rate),
            second_order=training,
        )
        if not training:
            adapted = {name: value.detach() for name, value in adapted.items()}
        return adapted | {"users_B1F": support.users_BF.unsqueeze(1)}

    def update(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """One more rating of each user by a local update on it alone.

        Not what adapting to all ratings at once gives.
        """
        with torch.inference_mode(False), torch.no_grad():
            state = ordinary(state)
            one = one_rating(items_B.clone(), targets_B.clone(), state["users_B1F"].squeeze(1))
            return state | descend(
                self._support_loss(self.theta, one),
                {name: state[name] for name in _DECISION},
                1,
                SGD(self.params.inner_rate),
                second_order=False,
            )

    def score_with(
        self, theta: Theta, state: State, items_BQ: Tensor, crossfit_B: Tensor
    ) -> Prediction:
        """Scores from content; it is the same in every cross-fitted table."""
        del crossfit_B
        return Prediction(_score(theta | state, self.backbone.side_NG[items_BQ]))

    def score_catalogue(self, state: State) -> Prediction:
        """See :meth:`Recommender.score_catalogue`; users in chunks, to bound memory."""
        side_1NG = self.backbone.side_NG.unsqueeze(0)
        width = self.n_items * self.params.hidden
        with torch.no_grad():
            scores_BN = in_chunks(lambda part: _score(self.theta | part, side_1NG), state, width)
            return self.predict(Prediction(scores_BN))

    def _support_loss(self, theta: Theta, support: Support) -> Callable[[Weights], Tensor]:
        """Mean loss on the support: ``[B]`` of weights."""
        side_BSG = self.backbone.side_NG[support.items_BS]
        shared = theta | {"users_B1F": support.users_BF.unsqueeze(1)}

        def loss(weights: Weights) -> Tensor:
            loss_BS = self.head.loss(_score(shared | weights, side_BSG), support.targets_BS)
            return masked_mean(loss_BS, support.mask_BS)

        return loss


class MeLUPublished(MeLU):
    """At the printed rate, at which a user's ratings move nothing that can be seen."""

    kind = "melu_published"
    Params = PublishedParams


def _score(weights: Weights, side_BIG: Tensor) -> Tensor:
    """Embeddings, decision layers and output: ``[B, I]``."""
    user_B1H = weights["users_B1F"] @ weights["user_FE"] @ weights["w1_EH"]
    g_BIH = hidden(weights, side_BIG @ weights["item_GD"], user_B1H)
    return (g_BIH @ weights["w3_H1"] + weights["b3_11"]).squeeze(-1)
