"""Items and the inputs of the trunk, as multitask reads them from the backbone.

Legend: B users, I items, C tables, N items of the catalogue, D features, E factors of exposure,
X and Y inputs of items and users.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from coldstart.algorithms._network import rated_share, standardise
from coldstart.models.backbone import Backbone
from coldstart.models.description import descriptions


class Items(NamedTuple):
    """Items as read from users' tables; the first dimension may be 1 and broadcasts."""

    x_BID: Tensor
    offset_BI: Tensor
    share_BI: Tensor  # of users who rate the item
    exposure_BIE: Tensor
    inputs_BIX: Tensor  # of the trunk


def tables(backbone: Backbone) -> Items:
    """All of them: ``[C, N, ...]``."""
    share_CN, factors_CNE, _, _ = backbone.exposure
    floor = 0.1 / backbone.n_items  # nobody has rated it; somebody may
    return Items(
        backbone.features_CND,
        backbone.offset_CN,
        share_CN.clamp(min=floor),
        factors_CNE,
        inputs(backbone),
    )


def inputs(backbone: Backbone) -> Tensor:
    """What the trunk reads of items, of typical size 1: ``[C, N, X]``."""
    factors_CNE = standardise(backbone.exposure.factors_CNE, rated_share(backbone))
    return torch.cat([factors_CNE, descriptions(backbone)], -1)


def user_inputs(backbone: Backbone) -> int:
    """``Y``: coordinates of exposure and taste, the number of ratings, attributes."""
    _, n_features, n_factors = backbone.exposure.prior_CFE.shape
    return n_factors + len(backbone.prior_DD) + 1 + n_features


def products(items_BID: Tensor, users_BD: Tensor) -> Tensor:
    """Of every item with its user: ``[B, I]``."""
    return (items_BID @ users_BD.unsqueeze(-1)).squeeze(-1)
