"""DeepFM: a factorisation machine and a network that read the same embeddings.

Guo et al. 2017. The fields are item id, item side information, user attributes and user id; the
embedding of side information or attributes is their product with a matrix, one field each. A new
user has no id, and that field is 0: so that the others learn to do without, training hides the id
in a random share of the ratings (dropout of the whole field, as in Volkovs et al. 2017).

Legend: B users or ratings, Q query, N items, U users, E factors, D = 1 + E, H hidden, F user
features, G item features, R ratings.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import relu

from coldstart.data.choices import Chooser
from coldstart.data.episodes import Episodes, History
from coldstart.models.descent import Weights, first_offsets, train
from coldstart.params import DeepFMParams

START = 0.01
"""Standard deviation of the embeddings at first, so that the pairs hardly count."""


class DeepFM(NamedTuple):
    """A fitted model as it serves a user without an id: what depends on one side is worked out."""

    item_N: Tensor  # all that an item gives without any user, but for the network's part
    features_NE: Tensor  # sum of the item's embeddings
    hidden_NH: Tensor  # what the item adds to the network's first layer, before its relu
    user_FD: Tensor  # first-order weights of attributes, then their embeddings
    user_FH: Tensor  # what attributes add to the network's first layer
    middle_HH: Tensor
    middle_H: Tensor
    output_H: Tensor

    def score(self, users_BF: Tensor, items: Tensor) -> Tensor:
        """Predicted targets ``[B, Q]`` of ``[B, Q]`` or, the same for every user, ``[Q]`` items."""
        user_BD = users_BF @ self.user_FD
        fm_BQ = (self.features_NE[items] @ user_BD[:, 1:, None])[..., 0] + user_BD[:, :1]
        first_BQH = relu(self.hidden_NH[items] + (users_BF @ self.user_FH)[:, None])
        second_BQH = relu(first_BQH @ self.middle_HH + self.middle_H)
        return self.item_N[items] + fm_BQ + second_BQH @ self.output_H


def fit_deepfm(
    history: History, validation: Chooser, params: DeepFMParams, seed: int, what: str
) -> DeepFM:
    """Least squares on the historical ratings, until validation users are predicted no better.

    Validation users are predicted from their attributes, as new users are.
    """
    generator = torch.Generator().manual_seed(seed)
    start = initial_weights(history, params, generator)
    base_N = first_offsets(history)
    n_ratings, order = len(history.targets_R), torch.empty(0)

    def loss(weights: Weights, step: int) -> Tensor:
        nonlocal order
        if step == 0:
            order = torch.randperm(n_ratings, generator=generator)
        rows_B = order[step * params.batch_size : (step + 1) * params.batch_size]
        return training_loss(weights, base_N, history, rows_B, params, generator)

    def error(weights: Weights, episodes: Episodes) -> Tensor:
        model = without_ids(weights, base_N, history.item_features_NG)
        score_BQ = model.score(episodes.support.users_BF, episodes.items_BQ)
        return (score_BQ - episodes.targets_BQ).square()[episodes.mask_BQ].mean()

    best = train(start, loss, error, validation, params, n_ratings, what)
    return without_ids(best, base_N, history.item_features_NG)


def initial_weights(history: History, params: DeepFMParams, generator: torch.Generator) -> Weights:
    """Shrunk item means, small random embeddings, and a network that starts by adding nothing."""
    e, h = params.factors, params.hidden
    n_user, n_item = history.user_features_UF.shape[1], history.item_features_NG.shape[1]

    def normal(*shape: int, scale: float) -> Tensor:
        return torch.randn(*shape, generator=generator) * scale

    rated_N = torch.bincount(history.items_R, minlength=history.n_items) > 0
    return {
        "offset_N": torch.zeros(history.n_items),
        "offset_G": torch.zeros(n_item),
        "offset_F": torch.zeros(n_user),
        "offset_U": torch.zeros(history.n_users),
        "item_NE": normal(history.n_items, e, scale=START) * rated_N[:, None],
        "item_GE": normal(n_item, e, scale=START),
        "user_FE": normal(n_user, e, scale=START),
        "user_UE": normal(history.n_users, e, scale=START),
        "first_4EH": normal(4, e, h, scale=1 / math.sqrt(e)),
        "first_H": torch.zeros(h),
        "middle_HH": normal(h, h, scale=math.sqrt(2 / h)),
        "middle_H": torch.zeros(h),
        "output_H": torch.zeros(h),
    }


def training_loss(
    weights: Weights,
    base_N: Tensor,
    history: History,
    rows_B: Tensor,
    params: DeepFMParams,
    generator: torch.Generator,
) -> Tensor:
    """Mean squared error of some ratings, with ids hidden and units of the network dropped."""
    items_B, users_B = history.items_R[rows_B], history.users_R[rows_B]
    side_BG, x_BF = history.item_features_NG[items_B], history.user_features_UF[users_B]
    known_B1 = (torch.rand(len(rows_B), 1, generator=generator) >= params.unknown_share).float()
    fields_B4E = torch.stack(
        [
            weights["item_NE"][items_B],
            side_BG @ weights["item_GE"],
            x_BF @ weights["user_FE"],
            weights["user_UE"][users_B] * known_B1,
        ],
        dim=1,
    )
    first_B = (base_N + weights["offset_N"])[items_B] + side_BG @ weights["offset_G"]
    first_B = first_B + x_BF @ weights["offset_F"] + weights["offset_U"][users_B] * known_B1[:, 0]
    pairs_B = fields_B4E.sum(1).square().sum(1) - fields_B4E.square().sum((1, 2))
    hidden_BH = torch.einsum("bfe,feh->bh", fields_B4E, weights["first_4EH"]) + weights["first_H"]
    hidden_BH = _dropped(relu(hidden_BH), params.dropout, generator)
    hidden_BH = relu(hidden_BH @ weights["middle_HH"] + weights["middle_H"])
    hidden_BH = _dropped(hidden_BH, params.dropout, generator)
    score_B = first_B + pairs_B / 2 + hidden_BH @ weights["output_H"]
    return (score_B - history.targets_R[rows_B]).square().mean()


def without_ids(weights: Weights, base_N: Tensor, side_NG: Tensor) -> DeepFM:
    """The model of a user whose id is 0."""
    id_NE, side_NE = weights["item_NE"], side_NG @ weights["item_GE"]
    id_EH, side_EH, user_EH, _ = weights["first_4EH"]
    pair_N = (id_NE * side_NE).sum(1)
    return DeepFM(
        item_N=base_N + weights["offset_N"] + side_NG @ weights["offset_G"] + pair_N,
        features_NE=id_NE + side_NE,
        hidden_NH=id_NE @ id_EH + side_NE @ side_EH + weights["first_H"],
        user_FD=torch.cat([weights["offset_F"][:, None], weights["user_FE"]], dim=1),
        user_FH=weights["user_FE"] @ user_EH,
        middle_HH=weights["middle_HH"],
        middle_H=weights["middle_H"],
        output_H=weights["output_H"],
    )


def _dropped(hidden: Tensor, dropout: float, generator: torch.Generator) -> Tensor:
    kept = torch.rand(hidden.shape, generator=generator) >= dropout
    return hidden * kept / (1 - dropout)
