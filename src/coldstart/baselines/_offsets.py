"""Item and user offsets around a global mean, shrunk: ``y = mean + item_i + user_u``.

The alternating estimate of Koren 2010, section 2.1, with a user's offset shrunk towards a prior
from their attributes instead of zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch import Tensor

from coldstart.baselines._base import ItemTable
from coldstart.data.episodes import History, Support
from coldstart.models.recommender import State
from coldstart.params import Section, search

SWEEPS = 10
"""Alternations; the estimates move by less than a thousandth of a rating point after five."""


class BiasParams(Section):
    """Shrinkage of the offsets."""

    item_damping: float = Field(
        gt=0,
        json_schema_extra=search(0.5, 20, log=True),
        description="Imagined ratings of each item at the mean.",
    )
    user_damping: float = Field(
        gt=0,
        json_schema_extra=search(1, 20, log=True),
        description="Imagined ratings of each user at the offset their attributes predict.",
    )
    attribute_penalty: float = Field(
        gt=0,
        json_schema_extra=search(5, 500, log=True),
        description="Ridge penalty of the regression of users' offsets on their attributes.",
    )


class Offsets(NamedTuple):
    """Fitted offsets."""

    item_N: Tensor  # float32: what a user of whom nothing is known gives an item, mean included
    attribute_F: Tensor  # float32: a user's expected offset is users_BF @ attribute_F
    user_U: Tensor  # float32: offsets of the historical users, 0 for others


def fit_offsets(history: History, params: BiasParams) -> Offsets:
    """Alternate between the items' offsets, the users' and their regression on attributes."""
    users_R, items_R = history.users_R, history.items_R
    targets_R, x_UF = history.targets_R.double(), history.user_features_UF.double()
    mean = targets_R.mean()
    count_U = torch.bincount(users_R, minlength=history.n_users)
    count_N = torch.bincount(items_R, minlength=history.n_items)
    active = count_U > 0
    gram_FF = x_UF[active].T @ x_UF[active] + params.attribute_penalty * torch.eye(x_UF.shape[1])
    user_U = torch.zeros(history.n_users).double()
    prior_U, item_N, attribute_F = user_U, user_U, user_U
    for _ in range(SWEEPS):
        rest_R = targets_R - user_U[users_R] - mean
        item_N = torch.bincount(items_R, rest_R, len(count_N)) / (count_N + params.item_damping)
        rest_R = targets_R - item_N[items_R] - mean
        sum_U = torch.bincount(users_R, rest_R, len(count_U))
        user_U = (sum_U + params.user_damping * prior_U) / (count_U + params.user_damping) * active
        user_U = (user_U - user_U[active].mean()) * active
        attribute_F = torch.linalg.solve(gram_FF, x_UF[active].T @ user_U[active])
        prior_U = x_UF @ attribute_F
    return Offsets((mean + item_N).float(), attribute_F.float(), user_U.float())


def residual_matrices(
    history: History, offsets: Offsets
) -> tuple[sparse.csc_array, sparse.csc_array]:
    """What the ratings lie above both offsets, ``[U, N]``, and ones where there is a rating."""
    users, items = history.users_R.numpy(), history.items_R.numpy()
    fitted_R = offsets.item_N[history.items_R] + offsets.user_U[history.users_R]
    rest_R = (history.targets_R - fitted_R).numpy()
    shape = (history.n_users, history.n_items)
    return (
        sparse.csc_array((rest_R, (users, items)), shape=shape),
        sparse.csc_array((np.ones_like(rest_R), (users, items)), shape=shape),
    )


@dataclass(frozen=True)
class OffsetModel(ItemTable):
    """A baseline that adds to ``item_i + user_u``, or nothing; ``item_N`` is from an Offsets."""

    attribute_F: Tensor
    user_damping: float

    def offsets(self, support: Support) -> State:
        """The user's offset: the shrunk mean of what the support lies above the items' offsets.

        With it the sum and the number that it is a mean of, the prior among them; float64.
        """
        prior_B = (support.users_BF @ self.attribute_F).double()
        rest_BS = self._above(support.items_BS, support.targets_BS) * support.mask_BS
        sum_B = rest_BS.sum(1) + self.user_damping * prior_B
        return self._mean_of(sum_B, support.mask_BS.sum(1) + self.user_damping)

    def one_more(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """The same after one more rating of each user."""
        sum_B = state["sum_B"] + self._above(items_B, targets_B)
        return self._mean_of(sum_B, state["weight_B"] + 1)

    def residuals(self, support: Support) -> tuple[Tensor, Tensor]:
        """The user's offset ``[B]``, and what the support lies above both ``[B, S]``."""
        found, mask_BS = self.offsets(support), support.mask_BS
        offset_B = found["sum_B"] / found["weight_B"]
        rest_BS = self._above(support.items_BS, support.targets_BS) - offset_B[:, None]
        return offset_B.float(), (rest_BS * mask_BS).float()

    def _above(self, items: Tensor, targets: Tensor) -> Tensor:
        return targets.double() - self.item_N[items]

    def _mean_of(self, sum_B: Tensor, weight_B: Tensor) -> State:
        return {"offset_B": (sum_B / weight_B).float(), "sum_B": sum_B, "weight_B": weight_B}
