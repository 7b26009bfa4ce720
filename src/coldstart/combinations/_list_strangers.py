"""What strangers like: shares of likes among all historical users, and among people like them.

    log P(likes i) = log p_i + sum_f log p_if / p_i    over the attributes f that a newcomer has

with ``p_i`` the share of users who like an item and ``p_if`` that share among users with the
attribute, drawn towards ``p_i`` as if ``held`` more users had liked as everybody does (naive Bayes
on log-linear shares). A rating that is no like counts ``FAINT``, so that where nobody likes
anything what is rated often comes first. A historical user's own ratings can be left out exactly.

Legend: U users of the history, B users, N items, M those with shares by attribute, F user features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from coldstart.data.episodes import History

FAINT = 0.01
"""Of a like, what a rating that is none counts."""
_NOBODY = 1e-6
"""Stands for a share of nobody, whose logarithm is not read."""


def has(features_BF: Tensor) -> Tensor:
    """Which attributes apply: indicators are centred over those who have the attribute at all."""
    return (features_BF > 0).float()


class Strangers(NamedTuple):
    """The shares that serve new users."""

    popular_N: Tensor  # log p_i; 0 where `known_N` is False
    known_N: Tensor  # bool, rated by somebody
    alike_FM: Tensor  # log p_if / p_i
    items_M: Tensor

    def liked(self, features_BF: Tensor) -> Tensor:
        """``log P(likes i)``: ``[B, N]``, of meaning where ``known_N``."""
        liked_BN = self.popular_N.expand(len(features_BF), -1).clone()
        liked_BN[:, self.items_M] += has(features_BF) @ self.alike_FM
        return liked_BN


def correction(stranger_BN: Tensor, before_BN: Tensor, known_BN: Tensor, count_B: Tensor) -> Tensor:
    """``(stranger - before) / (1 + K)``: what makes the expectation of a stranger the counted one.

    Args:
        stranger_BN: ``log P(likes i)`` as counted.
        before_BN: what choice and like expected before the first rating.
        known_BN: of which items the counts say something, 0 is added to the others; may be ``[N]``.
        count_B: ``K``, the number of ratings that are known by now.
    """
    more_BN = torch.where(known_BN, stranger_BN - before_BN, 0.0)
    return more_BN / (1 + count_B.unsqueeze(1))


@dataclass(frozen=True)
class Crowd:
    """The counts behind :class:`Strangers`."""

    items_M: Tensor
    liked_UN: sparse.csr_array  # by row of users.parquet: 1 for a like, FAINT for another rating
    has_UF: Tensor
    by_attribute_FM: Tensor  # sums of liked_UN over users with the attribute
    sum_N: Tensor
    n_users: int
    held: float

    @classmethod
    def fit(cls, history: History, items_M: Tensor, held: float) -> Self:
        """Count, by attribute for the items ``items_M`` alone."""
        weight_R = np.where(history.targets_R.numpy() > history.like, 1.0, FAINT)
        cells = (history.users_R.numpy(), history.items_R.numpy())
        shape = (history.n_users, history.n_items)
        liked_UN = sparse.csr_array((weight_R.astype(np.float32), cells), shape=shape)
        users = torch.unique(history.users_R)
        has_UF = torch.zeros(history.user_features_UF.shape)
        has_UF[users] = has(history.user_features_UF[users])
        by_attribute_MF = liked_UN.T.tocsr()[items_M.numpy()] @ has_UF.numpy()
        return cls(
            items_M=items_M,
            liked_UN=liked_UN,
            has_UF=has_UF,
            by_attribute_FM=torch.from_numpy(np.ascontiguousarray(by_attribute_MF.T)).float(),
            sum_N=torch.from_numpy(liked_UN.sum(0)).float(),
            n_users=len(users),
            held=held,
        )

    @property
    def strangers(self) -> Strangers:
        """As new users meet them."""
        known_N = self.sum_N > 0
        share_N = self.sum_N.clamp(min=_NOBODY) / self.n_users
        share_M = share_N[self.items_M]
        count_F1 = self.has_UF.sum(0).unsqueeze(1)
        of_attribute_FM = (self.by_attribute_FM + self.held * share_M) / (count_F1 + self.held)
        return Strangers(
            popular_N=torch.where(known_N, share_N.log(), 0.0),
            known_N=known_N,
            alike_FM=(of_attribute_FM / share_M).log(),
            items_M=self.items_M,
        )

    def without(self, users_B: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities and what is known, had each user's own ratings not been counted."""
        own_BN = torch.from_numpy(self.liked_UN[users_B.numpy()].toarray())
        sum_BN = self.sum_N - own_BN
        known_BN = sum_BN > 0.5 * FAINT
        n_others = max(self.n_users - 1, 1)
        share_BN = sum_BN.clamp(min=_NOBODY) / n_others
        liked_BN = share_BN.log()
        own_BM, share_BM = own_BN[:, self.items_M], share_BN[:, self.items_M]
        alike_BM = torch.zeros_like(own_BM)
        has_BF, count_F = self.has_UF[users_B], self.has_UF.sum(0)
        for f in has_BF.any(0).nonzero()[:, 0].tolist():
            rows = has_BF[:, f] > 0
            others_PM = (self.by_attribute_FM[f] - own_BM[rows]).clamp(min=0.0)
            share_PM = share_BM[rows]
            held_PM = (others_PM + self.held * share_PM) / (count_F[f] - 1 + self.held)
            alike_BM[rows] += (held_PM / share_PM).log()
        liked_BN[:, self.items_M] += alike_BM
        return liked_BN, known_BN
