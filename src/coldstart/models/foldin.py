"""Sums over a user's ratings from which a Gaussian posterior of the user's weights follows.

``y = offset_i + x_i . w + e`` where an item's (offset, x but its constant) may be uncertain, with a
posterior covariance of its own: then expectations over it take the place of products, and an item
of which little is known says little about the user.

Legend: B users, S ratings of each, Q items to predict, D features with the constant first.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Items(NamedTuple):
    """Items as a linear model sees them; any leading dimensions."""

    x: Tensor  # [..., D], the constant 1 first
    offset: Tensor  # [...]
    covariance: Tensor | None  # [..., D, D] of (offset, x[1:]); None: nothing is uncertain


class Evidence(NamedTuple):
    """What ratings say about weights, up to the noise; of disjoint ratings it adds up."""

    gram: Tensor  # [..., D, D]: E[x x']
    right: Tensor  # [..., D]: E[x (y - offset)]


def second_moment(items: Items) -> Tensor:
    """``E[x x']``: ``[..., D, D]``."""
    product: Tensor = items.x.unsqueeze(-1) * items.x.unsqueeze(-2)
    return product if items.covariance is None else product + _of_features(items.covariance)


def cross_moment(items: Items) -> Tensor:
    """``E[offset x]``: ``[..., D]``."""
    product = items.offset.unsqueeze(-1) * items.x
    if items.covariance is None:
        return product
    return product + _without_first(items.covariance[..., 0, :])


def evidence(items: Items, targets_BS: Tensor, weight_BS: Tensor) -> Evidence:
    """Sums over the ratings of each user, weighted; a weight of 0 is no rating."""
    x_BSD, offset_BS, covariance = items
    weighted_BSD = x_BSD * weight_BS.unsqueeze(-1)
    gram_BDD = weighted_BSD.mT @ x_BSD
    right_BD = (weighted_BSD * (targets_BS - offset_BS).unsqueeze(-1)).sum(-2)
    if covariance is not None:
        own_BDD = torch.einsum("bs,bsde->bde", weight_BS, covariance)
        gram_BDD = gram_BDD + _of_features(own_BDD)
        right_BD = right_BD - _without_first(own_BDD[..., 0, :])
    return Evidence(gram_BDD, right_BD)


def own_variance(items: Items, mean_BD: Tensor, covariance_BDD: Tensor) -> Tensor:
    """Variance of a prediction that an item's own uncertainty adds: ``[B, Q]``.

    ``items`` are ``[B, Q]``; the user's weights are normal with the given mean and covariance.
    """
    if items.covariance is None:
        return torch.zeros_like(items.offset)
    tilde_BD = torch.cat([torch.ones_like(mean_BD[:, :1]), mean_BD[:, 1:]], 1)
    second_BDD = tilde_BD.unsqueeze(-1) * tilde_BD.unsqueeze(-2) + _of_features(covariance_BDD)
    return torch.einsum("bqde,bde->bq", items.covariance, second_BDD)


def _without_first(vector: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(vector[..., :1]), vector[..., 1:]], -1)


def _of_features(covariance: Tensor) -> Tensor:
    """The same with zeros for the first row and column: the constant feature is certain."""
    return torch.nn.functional.pad(covariance[..., 1:, 1:], (1, 0, 1, 0))
