"""Backbone ``two_tower``: a user tower and an item tower, trained together by AdamW.

The item tower is an id embedding plus a network over side information; the user tower is a network
over attributes and the average of the rated items' embeddings, weighted by how far each rating
lies above the item's offset. There is no user id, so it serves new users as they are (cf. Yi et
al. 2019). Training episodes hide a random part of a user's ratings and predict it.

Legend: B users, S support, Q query, N items, E factors, D = 1 + E features with the constant first,
H hidden, F user features, G item features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from coldstart.data.choices import Chooser
from coldstart.data.episodes import Episodes, EpisodeSampler, History, Support
from coldstart.models.backbone import Backbone
from coldstart.models.descent import Weights, first_offsets, train
from coldstart.models.user_prior import unfitted
from coldstart.params import PretrainParams, TwoTowerParams

QUERY_SIZE = 16
MAX_SUPPORT = 20
DAMPING = 3.0
"""Imagined ratings at the mean in each user's average."""


def initial_weights(
    history: History, params: TwoTowerParams, generator: torch.Generator
) -> Weights:
    """Small random embeddings, shrunk item means, and networks that start by adding nothing."""
    e, h = params.factors, params.hidden
    n_user, n_item = history.user_features_UF.shape[1] + 1 + e, history.item_features_NG.shape[1]

    def normal(*shape: int, scale: float) -> Tensor:
        return torch.randn(*shape, generator=generator) * scale

    rated_N = torch.bincount(history.items_R, minlength=history.n_items) > 0
    return {
        "offset_N": first_offsets(history),
        "item_NE": normal(history.n_items, e, scale=0.1) * rated_N[:, None],
        "item_GH": normal(n_item, h, scale=1 / math.sqrt(max(n_item, 1))),
        "item_H": torch.zeros(h),
        "item_HE": torch.zeros(h, e),
        "user_IH": normal(n_user, h, scale=1 / math.sqrt(n_user)),
        "user_H": torch.zeros(h),
        "user_HD": torch.zeros(h, 1 + e),
        "user_ID": torch.zeros(n_user, 1 + e),
    }


class TwoTower:
    """The forward pass as a function of weights; ``generator`` draws dropout, None for none."""

    def __init__(self, history: History, dropout: float) -> None:
        self._side_NG = history.item_features_NG
        self._dropout = dropout

    def items(self, weights: Weights, items: Tensor, generator: torch.Generator | None) -> Tensor:
        """Embeddings ``[..., E]``; dropout also hides whole ids, as side information must do."""
        keep_id = self._keep(torch.Size((*items.shape, 1)), generator)
        hidden = functional.relu(self._side_NG[items] @ weights["item_GH"] + weights["item_H"])
        hidden = hidden * self._keep(hidden.shape, generator)
        return weights["item_NE"][items] * keep_id + hidden @ weights["item_HE"]

    def users(
        self, weights: Weights, support: Support, generator: torch.Generator | None
    ) -> Tensor:
        """Weight vectors ``[B, D]``."""
        items_BSE = self.items(weights, support.items_BS, generator)
        rest_BS = (support.targets_BS - weights["offset_N"][support.items_BS]) * support.mask_BS
        count_B1 = support.mask_BS.sum(1, keepdim=True) + DAMPING
        taste_BE = (items_BSE * rest_BS[..., None]).sum(1) / count_B1
        level_B1 = rest_BS.sum(1, keepdim=True) / count_B1
        input_BI = torch.cat([support.users_BF, level_B1, taste_BE], dim=1)
        hidden_BH = functional.relu(input_BI @ weights["user_IH"] + weights["user_H"])
        hidden_BH = hidden_BH * self._keep(hidden_BH.shape, generator)
        skip_BD = torch.cat([level_B1, taste_BE], dim=1)
        return skip_BD + input_BI @ weights["user_ID"] + hidden_BH @ weights["user_HD"]

    def errors(
        self, weights: Weights, episodes: Episodes, generator: torch.Generator | None = None
    ) -> Tensor:
        """Mean squared error over the query ratings."""
        w_BD = self.users(weights, episodes.support, generator)
        v_BQE = self.items(weights, episodes.items_BQ, generator)
        score_BQ = weights["offset_N"][episodes.items_BQ] + w_BD[:, :1]
        score_BQ = score_BQ + (v_BQE @ w_BD[:, 1:, None])[..., 0]
        return (score_BQ - episodes.targets_BQ).square()[episodes.mask_BQ].mean()

    def _keep(self, shape: torch.Size, generator: torch.Generator | None) -> Tensor:
        if generator is None:
            return torch.ones(())
        kept = torch.rand(shape, generator=generator) >= self._dropout
        return kept / (1 - self._dropout)


def fit_two_tower(
    history: History, validation: Chooser, params: PretrainParams, seed: int
) -> Backbone:
    """Train until validation users, at half their support, are no longer predicted better."""
    settings = params.two_tower
    generator = torch.Generator().manual_seed(seed)
    weights = initial_weights(history, settings, generator)
    model = TwoTower(history, settings.dropout)
    sampler = EpisodeSampler(
        history,
        batch_size=max(1, settings.batch_size // QUERY_SIZE),
        query_size=QUERY_SIZE,
        max_support=MAX_SUPPORT,
        group_U=torch.zeros(history.n_users, dtype=torch.int64),
        generator=generator,
    )

    def error(own: Weights, episodes: Episodes) -> Tensor:
        half = episodes.support.first(episodes.support.items_BS.shape[1] // 2)
        return model.errors(own, episodes._replace(support=half))

    best = train(
        weights,
        lambda own, _: model.errors(own, sampler.sample(), generator),
        error,
        validation,
        settings,
        len(history.targets_R),
        "two_tower epochs",
    )
    return _backbone(model, best, history)


def _backbone(model: TwoTower, weights: Weights, history: History) -> Backbone:
    """The towers as tables; the user tower without ratings as its best linear approximation."""
    v_NE = model.items(weights, torch.arange(history.n_items), None)
    features_ND = torch.cat([torch.ones(history.n_items, 1), v_NE], dim=1)
    active = torch.unique(history.users_R)
    x_UF = history.user_features_UF[active]
    nobody = torch.zeros(1, x_UF.shape[1])
    average_D = model.users(weights, _without_ratings(nobody), None)[0]
    shift_UD = model.users(weights, _without_ratings(x_UF), None) - average_D
    gram_FF = x_UF.T.double() @ x_UF.double() + torch.eye(x_UF.shape[1]).double()
    return Backbone(
        kind="two_tower",
        features_CND=features_ND[None].clone(),
        offset_CN=(weights["offset_N"] + features_ND @ average_D)[None],
        count_CN=torch.bincount(history.items_R, minlength=history.n_items).float()[None],
        prior_FD=torch.linalg.solve(gram_FF, x_UF.T.double() @ shift_UD.double()).float(),
        group_U=torch.zeros(history.n_users, dtype=torch.int64),
        side_NG=history.item_features_NG,
        **unfitted(history, features_ND.shape[1]),
    )


def _without_ratings(users_BF: Tensor) -> Support:
    n = len(users_BF)
    none = torch.zeros(n, 0)
    return Support(none.long(), none, none.bool(), users_BF, torch.zeros(n, dtype=torch.int64))
