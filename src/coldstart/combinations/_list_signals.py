"""What a list is ranked by: closed forms that each know something of a newcomer.

    choice    log P(rates i): the linear Gaussian model of exposure
    like      log P(likes i | rates i): a logistic curve of the rating that the backbone predicts
    company   sum_j w_j B_ji over the rated items j: EASE on likes (Steck 2019), where w is 1 for a
              like and less for any other rating
    stranger  log P(likes i) of somebody of whom no rating is known (:mod:`_list_strangers`)

Choice and like make an expectation of strangers too, a worse one. It is replaced: to the choice is
added ``(stranger - choice_0 - like_0) / (1 + K)``, with ``choice_0`` and ``like_0`` what they were
before the first of K ratings.

None of them trains, so a historical user's own ratings can be left out of each: of choice and like
by the backbone's cross-fitted tables, of company by a rank-one downdate, of strangers by counting.

Legend: B users, S support, N items, M the most rated of them, C tables, T users of one table.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn.functional import embedding_bag, logsigmoid, pad

from coldstart.combinations._list_strangers import Strangers, correction
from coldstart.data.episodes import History, Support
from coldstart.models.backbone import Backbone
from coldstart.models.choosing import Choosing
from coldstart.models.foldin import FoldIn
from coldstart.models.recommender import State
from coldstart.models.user_prior import linear_model

SIGNALS = ("choice", "like", "company")
LEAST = 0.1
"""Smallest expected exposure, as a share of the item's popularity."""
LOGISTIC = 1.702
"""Slope at which a logistic curve is closest to the normal distribution function."""


def expected_shares(share_N: Tensor) -> Tensor:
    """Expected exposure for a stranger, above 0: what nobody has rated, somebody may."""
    return share_N.clamp(min=0.1 / share_N.shape[-1])


def log_choice(expected_BN: Tensor, share_N: Tensor) -> Tensor:
    """``log P(rates i)``, from a linear model's expectation, which may be negative."""
    return torch.maximum(expected_BN, LEAST * share_N).log()


def log_like(rating_BN: Tensor, slope: Tensor, border: Tensor) -> Tensor:
    """``log P(likes i | rates i)``."""
    return logsigmoid(slope * (rating_BN - border))


class Catalogue(NamedTuple):
    """The signals of all items for some users: ``[B, N]`` each."""

    choice: Tensor  # with what strangers like
    like: Tensor
    company: Tensor


@dataclass(frozen=True)
class Signals:
    """The signals, fitted; new users read the tables of all history."""

    backbone: Backbone  # its model of exposure is the list's own
    items_M: Tensor  # int64, ascending: items that have company
    company_MM: Tensor  # B, row j is what a rated item j adds
    below: Tensor  # scalar: weight of a rating that is no like
    strangers: Strangers

    @property
    def n_items(self) -> int:
        """Rows of the catalogue: ``N``."""
        return self.backbone.n_items

    @property
    def slope(self) -> Tensor:
        """Of the log-odds of a like, per unit of the predicted rating."""
        return LOGISTIC / self.backbone.noise.clamp(min=1e-6).sqrt()

    @cached_property
    def choosing(self) -> Choosing:
        """Folds a user into the model of exposure."""
        return Choosing(self.backbone.exposure, self.backbone.exposure.noise)

    @cached_property
    def tasting(self) -> FoldIn:
        """Folds a user into the backbone's model of ratings."""
        return linear_model(self.backbone)

    @cached_property
    def shares(self) -> Tensor:
        """See :func:`expected_shares`: ``[C, N]``."""
        return expected_shares(self.backbone.exposure.share_CN)

    @cached_property
    def rows(self) -> Tensor:
        """Of each item 1 plus its place in ``items_M``, 0 for all others: ``[N]``."""
        row_N = torch.zeros(self.n_items, dtype=torch.int64, device=self.items_M.device)
        row_N[self.items_M] = torch.arange(1, len(self.items_M) + 1, device=row_N.device)
        return row_N

    def weights(self, support: Support) -> Tensor:
        """``w``: ``[B, S]``, 0 where padded."""
        liked_BS = support.targets_BS > self.backbone.like
        return torch.where(liked_BS, 1.0, self.below) * support.mask_BS

    def adapt(self, support: Support) -> State:
        """What the signals read of users, by any cross-fitted table but for the company's."""
        padded_MM = pad(self.company_MM, (0, 0, 1, 0))  # row 0 is of items without company
        rows_BS = pad(self.rows[support.items_BS], (0, 1))
        weights_BS = pad(self.weights(support), (0, 1))
        choice, taste = self.choosing.adapt(support), self.tasting.adapt(support)
        return {
            "choice_BE": choice["mean_BE"],
            "choice_before_BE": choice["before_BE"],
            "taste_BD": taste["mean_BD"],
            "taste_before_BD": taste["attributes_BD"],
            "company_BM": embedding_bag(
                rows_BS, padded_MM, mode="sum", per_sample_weights=weights_BS
            ),
            "users_BF": support.users_BF,
            "count_B": support.mask_BS.sum(1),
        }

    def catalogue(self, state: State) -> Catalogue:
        """All items, as new users meet them."""
        liked_BN = self.strangers.liked(state["users_BF"])
        return self.of_table(state, 0, liked_BN, self.strangers.known_N)

    def of_table(
        self, state: State, table: int, stranger_BN: Tensor, known_BN: Tensor
    ) -> Catalogue:
        """All items, as read from a table.

        Args:
            state: of :meth:`adapt`.
            table: one of the cross-fitted ones.
            stranger_BN: ``log P(likes i)`` before any rating is known.
            known_BN: of which items that says something; may be ``[N]``.
        """
        choice_BN, like_BN = self._expected(state["choice_BE"], state["taste_BD"], table)
        choice_0_BN, like_0_BN = self._expected(
            state["choice_before_BE"], state["taste_before_BD"], table
        )
        company_BN = torch.zeros_like(like_BN)
        company_BN[:, self.items_M] = state["company_BM"].to(like_BN.dtype)
        more_BN = correction(stranger_BN, choice_0_BN + like_0_BN, known_BN, state["count_B"])
        return Catalogue(choice_BN + more_BN, like_BN, company_BN)

    def _expected(self, choice_BE: Tensor, taste_BD: Tensor, table: int) -> tuple[Tensor, Tensor]:
        """``log P(rates i)`` and ``log P(likes i | rates i)``: ``[B, N]`` both."""
        share_N = self.shares[table]
        expected_BN = share_N + choice_BE @ self.backbone.exposure.factors_CNE[table].mT
        features_ND = self.backbone.features_CND[table]
        rating_BN = self.backbone.offset_CN[table] + taste_BD @ features_ND.mT
        return (
            log_choice(expected_BN, share_N),
            log_like(rating_BN, self.slope, self.backbone.like),
        )


@dataclass(frozen=True)
class Company:
    """EASE on weighted choices: ``B_ji = -P_ji / P_ii`` with ``P = (X'X + penalty)^-1``."""

    items_M: Tensor
    chosen_UM: sparse.csr_array  # weights of all users of the history, by row of users.parquet
    inverse_MM: Tensor  # P, float64

    @classmethod
    def fit(cls, history: History, below: float, penalty: float, max_items: int) -> Self:
        """Of the ``max_items`` items with the most ratings; of equal ones the first."""
        count_N = torch.bincount(history.items_R, minlength=history.n_items)
        order_N = count_N.argsort(descending=True, stable=True)
        items_M = order_N[: min(max_items, int((count_N > 0).sum()))].sort().values
        weight_R = np.where(history.targets_R.numpy() > history.like, 1.0, below)
        cells = (history.users_R.numpy(), history.items_R.numpy())
        shape = (history.n_users, history.n_items)
        chosen_UM = sparse.csr_array((weight_R, cells), shape=shape)[:, items_M.numpy()]
        gram_MM = torch.from_numpy((chosen_UM.T @ chosen_UM).toarray())
        ridge_MM = gram_MM + penalty * torch.eye(len(gram_MM), dtype=gram_MM.dtype)
        inverse_MM = torch.cholesky_inverse(torch.linalg.cholesky(ridge_MM))
        return cls(items_M, chosen_UM.tocsr(), inverse_MM)

    @property
    def weights(self) -> Tensor:
        """``B``, float32, its diagonal 0: ``[M, M]``."""
        weights_MM = self.inverse_MM / -self.inverse_MM.diagonal()
        return weights_MM.fill_diagonal_(0.0).float().contiguous()

    def without(self, users_B: Tensor, weights_BM: Tensor) -> Tensor:
        """``weights @ B``, had each user's own ratings not been learnt from: ``[B, M]``.

        ``P`` without a row x of ``X`` is ``P + a a' / (1 - x'a)`` with ``a = P x``. Of no meaning
        where ``weights_BM`` is not 0, since the diagonal of ``B`` is left in.
        """
        own_BM = torch.from_numpy(self.chosen_UM[users_B.numpy()].toarray())
        a_BM = own_BM @ self.inverse_MM
        left_B1 = (1 - (own_BM * a_BM).sum(1, keepdim=True)).clamp(min=1e-9)
        weights_BM = weights_BM.double()
        across_B1 = (weights_BM * a_BM).sum(1, keepdim=True) / left_B1
        top_BM = weights_BM @ self.inverse_MM + across_B1 * a_BM
        diagonal_BM = self.inverse_MM.diagonal() + a_BM.square() / left_B1
        return (-top_BM / diagonal_BM).float()
