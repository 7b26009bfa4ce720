"""The scoring network that gradient-based meta-learners share, and which part of it they adapt.

``score = base + x . skip + MLP([standardised x, u])``, where ``base`` is what the backbone expects
of a user with attributes u. The last layer and ``skip`` start at zero: an untrained network without
support predicts exactly what the backbone does.

Every weight is either shared by all users, or has the user as its first dimension. Layers are
``x @ W + b`` with ``b`` as a row, so broadcasting makes one code serve both.

Legend: B users, I items of each (support, query or catalogue), D features, F user features,
H hidden units, R rank of low-rank updates.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from coldstart.models.backbone import Backbone
from coldstart.params import Section, search

Weights = dict[str, Tensor]
Subset = Literal["head", "decision", "all", "lora", "film"]

_REACH = 2.0
"""Largest norm of an item's standardised features, in units of the typical one."""


class NetworkParams(Section):
    """Shape of the network and the subset of its weights that a user adapts."""

    adapt: Subset = Field(
        description="What a user adapts: head (last layer), decision (all layers), all (and the"
        " prior), lora (low-rank updates), film (scales and shifts)."
    )
    hidden: int = Field(
        ge=1,
        le=1024,
        json_schema_extra=search(16, 128, log=True),
        description="Width of the two hidden layers.",
    )
    rank: int = Field(ge=1, le=64, description="Rank of the updates where adapt is lora.")


_HEAD = ("skip_1D", "w3_H1", "b3_11")
_DECISION = (*_HEAD, "w1_DH", "w1_FH", "b1_1H", "w2_HH", "b2_1H")
_SUBSETS: dict[Subset, tuple[str, ...]] = {
    "head": _HEAD,
    "decision": _DECISION,
    "all": (*_DECISION, "prior_FD"),
    "lora": ("skip_1D", "b3_11", "down1_DR", "up1_RH", "down2_HR", "up2_RH"),
    "film": ("skip_1D", "b3_11", "scale1_1H", "shift1_1H", "scale2_1H", "shift2_1H"),
}


def subset(adapt: Subset) -> tuple[str, ...]:
    """Names of the adapted weights; item tables are shared by all users and never adapted."""
    return _SUBSETS[adapt]


class Items(NamedTuple):
    """Items to be scored, as the network sees them; ``B`` may be 1 and broadcasts."""

    raw_BID: Tensor
    standard_BID: Tensor
    offset_BI: Tensor  # what the backbone predicts for a user of whom nothing is known


def standardise(values: Tensor, share_N: Tensor) -> Tensor:
    """Rows of tables ``[C, N, D]`` or ``[N, D]``, to mean 0 and variance 1 in the first.

    An item counts by ``share_N``, as often as it is rated, since that is how often users meet it;
    what the few rated ones have in excess of popular items would otherwise dwarf the rest. Rows far
    outside are pulled in to ``_REACH`` times the typical norm.
    """
    D = values.shape[-1]
    first_ND = values[0] if values.dim() == 3 else values
    mean_D = share_N @ first_ND
    std_D = (share_N @ (first_ND - mean_D).square()).sqrt()
    standard = (values - mean_D) / torch.where(std_D > 1e-6, std_D, 1.0)
    norm: Tensor = standard.norm(dim=-1, keepdim=True)
    return standard * (_REACH * math.sqrt(D) / norm).clamp(max=1)


def rated_share(backbone: Backbone) -> Tensor:
    """Share of all historical ratings that each item has: ``[N]``."""
    return backbone.count_CN[0] / backbone.count_CN[0].sum().clamp(min=1)


def item_tables(backbone: Backbone) -> Items:
    """All cross-fitted tables ``[C, N, ...]``, standardised by the table of new users."""
    features_CND = backbone.features_CND
    standard_CND = standardise(features_CND, rated_share(backbone))
    return Items(features_CND, standard_CND, backbone.offset_CN)


def initial_weights(backbone: Backbone, params: NetworkParams, seed: int) -> Weights:
    """He-initialised hidden layers, a zero last layer, and zero updates of any kind."""
    generator = torch.Generator().manual_seed(seed)
    F, D = backbone.prior_FD.shape
    H, R = params.hidden, params.rank

    def normal(rows: int, columns: int, fan_in: int) -> Tensor:
        scale = math.sqrt(2.0 / max(fan_in, 1))
        return torch.randn(rows, columns, generator=generator) * scale

    weights = {
        "prior_FD": backbone.prior_FD.clone(),
        "skip_1D": torch.zeros(1, D),
        "w1_DH": normal(D, H, D + F),
        "w1_FH": normal(F, H, D + F),
        "b1_1H": torch.zeros(1, H),
        "w2_HH": normal(H, H, H),
        "b2_1H": torch.zeros(1, H),
        "w3_H1": torch.zeros(H, 1),
        "b3_11": torch.zeros(1, 1),
    }
    if params.adapt == "lora":
        weights |= {"down1_DR": normal(D, R, D), "up1_RH": torch.zeros(R, H)}
        weights |= {"down2_HR": normal(H, R, H), "up2_RH": torch.zeros(R, H)}
    if params.adapt == "film":
        for name in ("scale1_1H", "shift1_1H", "scale2_1H", "shift2_1H"):
            weights[name] = torch.zeros(1, H)
    return weights


def prior_prediction(weights: Weights, items: Items, users_B1F: Tensor) -> Tensor:
    """What the backbone's prior predicts for users with these attributes: ``[B, I]``."""
    mean_B1D = users_B1F @ weights["prior_FD"]
    return items.offset_BI + (items.raw_BID @ mean_B1D.mT).squeeze(-1)


def correction(weights: Weights, items: Items, users_B1F: Tensor) -> Tensor:
    """What the network adds to the prior's score: ``[B, I]``."""
    linear_BI = (items.raw_BID @ weights["skip_1D"].mT).squeeze(-1)
    g_BIH = hidden(weights, items.standard_BID, users_B1F @ weights["w1_FH"])
    return linear_BI + (g_BIH @ weights["w3_H1"] + weights["b3_11"]).squeeze(-1)


def hidden(weights: Weights, x_BID: Tensor, user_B1H: Tensor) -> Tensor:
    """Two hidden ReLU layers: ``[B, I, H]``.

    Args:
        weights: of the network.
        x_BID: what the first layer reads of items.
        user_B1H: the user's part of the first layer, the same for all items.
    """
    first_B1H = weights["b1_1H"] + user_B1H
    h_BIH = x_BID @ weights["w1_DH"] + first_B1H
    if "up1_RH" in weights:
        h_BIH = h_BIH + (x_BID @ weights["down1_DR"]) @ weights["up1_RH"]
    h_BIH = torch.relu(_film(weights, h_BIH, "1"))
    g_BIH = h_BIH @ weights["w2_HH"] + weights["b2_1H"]
    if "up2_RH" in weights:
        g_BIH = g_BIH + (h_BIH @ weights["down2_HR"]) @ weights["up2_RH"]
    return torch.relu(_film(weights, g_BIH, "2"))


def _film(weights: Weights, h_BIH: Tensor, layer: str) -> Tensor:
    """Feature-wise linear modulation (Perez et al. 2018), around the identity."""
    if f"scale{layer}_1H" not in weights:
        return h_BIH
    return h_BIH * (1 + weights[f"scale{layer}_1H"]) + weights[f"shift{layer}_1H"]
