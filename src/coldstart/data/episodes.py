"""Users as tasks: padded batches of support and query.

Shapes: B users, S support ratings, Q query ratings, F user features. A batch is padded with the
unknown item, rating 0 and mask False; no method may let padding change a result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from coldstart.errors import DataError

BLOCK = 1024
"""Users who are drawn for together, each with as many random numbers as the busiest of them has
ratings. A batch may be all users: those of more are drawn for beside users who are about as busy,
or their numbers would grow with the square of the data. A batch of a training is one block."""
CELLS = 1 << 22
"""Random numbers held at once; changes no result."""


class Support(NamedTuple):
    """What is known of ``B`` users at the moment of adapting to them."""

    items_BS: Tensor  # int64, rows of the catalogue; 0 where padded
    targets_BS: Tensor  # float32, ratings in the fold's unit (or 0/1 likes, heads click, ranking)
    mask_BS: Tensor  # bool, False where padded
    users_BF: Tensor  # float32, encoded user attributes; F may be 0
    crossfit_B: Tensor  # int64, which cross-fitted item table to read; 0 (all history) when cold

    @property
    def n_users(self) -> int:
        """Number of users in the batch, ``B``."""
        return int(self.items_BS.shape[0])

    def first(self, k: int) -> Support:
        """The same users with only their first ``k`` support ratings."""
        return self._replace(
            items_BS=self.items_BS[:, :k],
            targets_BS=self.targets_BS[:, :k],
            mask_BS=self.mask_BS[:, :k],
        )

    def of_new_users(self) -> Support:
        """The same, to be read from the table that is fitted on all history."""
        return self._replace(crossfit_B=torch.zeros_like(self.crossfit_B))

    def rows(self, index: slice | Tensor) -> Support:
        """The same fields for a part of the users."""
        return Support(*(field[index] for field in self))

    def to(self, device: torch.device | str) -> Support:
        """The same batch on another device."""
        return Support(*(field.to(device) for field in self))


class Episodes(NamedTuple):
    """``B`` tasks: adapt to ``support``, be judged on the query."""

    support: Support
    items_BQ: Tensor  # int64; 0 where padded
    targets_BQ: Tensor  # float32
    mask_BQ: Tensor  # bool
    users_B: Tensor  # int64, rows of users.parquet, to join the results with
    draws_BQ: Tensor | None = None
    """float32, how often a sampled negative was expected to be drawn, 0 where rated or padded; None
    where nothing was sampled."""

    @property
    def n_users(self) -> int:
        """Number of tasks in the batch, ``B``."""
        return self.support.n_users

    def without_negatives(self) -> Episodes:
        """The same with sampled negatives as padding."""
        if self.draws_BQ is None:
            return self
        return self._replace(mask_BQ=self.mask_BQ & (self.draws_BQ == 0), draws_BQ=None)

    def mean_over_users(self, values_BQ: Tensor) -> Tensor:
        """Mean in float64 over users, who count the same, of the mean over their query.

        Users without a query do not count; any dimensions may lead.
        """
        total_B = values_BQ.double().masked_fill(~self.mask_BQ, 0.0).sum(-1)
        count_B = self.mask_BQ.sum(-1)
        mean: Tensor = (total_B / count_B)[..., count_B > 0].mean(-1)
        return mean

    def rows(self, index: slice | Tensor) -> Episodes:
        """The same fields for a part of the tasks."""
        return self._each(self.support.rows(index), lambda field: field[index])

    def to(self, device: torch.device | str) -> Episodes:
        """The same batch on another device."""
        return self._each(self.support.to(device), lambda field: field.to(device))

    def _each(self, support: Support, change: Callable[[Tensor], Tensor]) -> Episodes:
        draws_BQ = None if self.draws_BQ is None else change(self.draws_BQ)
        items_BQ, targets_BQ, mask_BQ, users_B = (change(field) for field in self[1:5])
        return Episodes(support, items_BQ, targets_BQ, mask_BQ, users_B, draws_BQ)


def some_rows(n_users: int, most: int) -> Tensor:
    """A random choice of ``most`` of so many users, the same each time and ascending; or all."""
    order_B = torch.randperm(n_users, generator=torch.Generator().manual_seed(0))
    return order_B[:most].sort().values


class History(NamedTuple):
    """Ratings that may be learnt from, sorted by user and item. R ratings, U users, N items."""

    users_R: Tensor  # int64, rows of users.parquet
    items_R: Tensor  # int64, rows of the catalogue, never 0
    targets_R: Tensor  # float32, as those of Support
    n_users: int  # U: rows of users.parquet, also of those without a rating here
    n_items: int  # N: rows of the catalogue, the unknown item included
    user_features_UF: Tensor  # float32
    item_features_NG: Tensor  # float32
    like: float = 0.5  # an item is liked whose target lies above this, half-way between two ratings


class EpisodeSampler:
    """Random training episodes from historical users with at least two ratings.

    Each episode has its own random support size, uniform from 0 to ``max_support`` as far as the
    user's ratings allow, and at least one query rating. ``generator`` is the whole random state:
    a sampler whose generator is set back draws the same episodes again.
    """

    def __init__(
        self,
        history: History,
        *,
        batch_size: int,
        query_size: int,
        max_support: int,
        group_U: Tensor,
        generator: torch.Generator,
    ) -> None:
        """Index the ratings by user.

        Args:
            history: Sorted by user.
            batch_size: Users per batch; they are distinct if there are enough.
            query_size: Most query ratings per user, at least 1.
            max_support: Most support ratings per user.
            group_U: int64, the cross-fitted table for each row of users.parquet.
            generator: Source of all randomness, on the CPU.
        """
        self._history = history
        self._batch_size = batch_size
        self._query_size = query_size
        self._max_support = max_support
        self._group_U = group_U
        self._generator = generator
        self._count_U = torch.bincount(history.users_R, minlength=history.n_users)
        self._start_U = self._count_U.cumsum(0) - self._count_U
        self._eligible = torch.nonzero(self._count_U >= 2).squeeze(1)
        if len(self._eligible) == 0:
            raise DataError(
                "no historical user has two ratings, one to adapt to and one to be judged by; "
                "methods that learn from users as tasks need some who have"
            )

    def sample(self) -> Episodes:
        """One batch: ``B = batch_size``, ``S = max_support``, ``Q = query_size``, padded."""
        users_B = self._users()
        count_B = self._count_U[users_B]
        draws_B = torch.rand(self._batch_size, generator=self._generator)
        n_support_B = (draws_B * (self._max_support + 1)).long().minimum(count_B - 1)
        n_query_B = (count_B - n_support_B).clamp(max=self._query_size)
        rows_BT = self._distinct_ratings(users_B, count_B)
        position_S = torch.arange(self._max_support)
        position_Q = torch.arange(self._query_size)
        mask_BS = position_S < n_support_B[:, None]
        mask_BQ = position_Q < n_query_B[:, None]
        rows_BS = rows_BT[:, : self._max_support]
        rows_BQ = rows_BT.gather(1, n_support_B[:, None] + position_Q)
        support = Support(
            items_BS=self._history.items_R[rows_BS] * mask_BS,
            targets_BS=self._history.targets_R[rows_BS] * mask_BS,
            mask_BS=mask_BS,
            users_BF=self._history.user_features_UF[users_B],
            crossfit_B=self._group_U[users_B],
        )
        return Episodes(
            support,
            items_BQ=self._history.items_R[rows_BQ] * mask_BQ,
            targets_BQ=self._history.targets_R[rows_BQ] * mask_BQ,
            mask_BQ=mask_BQ,
            users_B=users_B,
        )

    def _users(self) -> Tensor:
        n_eligible = len(self._eligible)
        if n_eligible >= self._batch_size:
            chosen = torch.randperm(n_eligible, generator=self._generator)[: self._batch_size]
        else:
            chosen = torch.randint(n_eligible, (self._batch_size,), generator=self._generator)
        return self._eligible[chosen]

    def _distinct_ratings(self, users_B: Tensor, count_B: Tensor) -> Tensor:
        """Rows of the history, ``T = S + Q`` per user, distinct as far as ``count_B`` goes."""
        if len(count_B) <= BLOCK:
            offset_BT = self._offsets(count_B)
        else:
            order_B = count_B.argsort(stable=True)
            blocks = [self._offsets(count_B[part]) for part in torch.split(order_B, BLOCK)]
            offset_BT = torch.cat(blocks)[order_B.argsort()]
        return self._start_U[users_B][:, None] + offset_BT.minimum(count_B[:, None] - 1)

    def _offsets(self, count_B: Tensor) -> Tensor:
        """Of the first rating of each of a block's users: ``[B, T]``, too far where they end."""
        width = self._max_support + self._query_size
        span = max(int(count_B.max()), width)
        offsets = []
        for count_P in torch.split(count_B, max(1, CELLS // span)):  # draws what one batch would
            keys_PX = torch.rand(len(count_P), span, generator=self._generator)
            keys_PX.masked_fill_(torch.arange(span) >= count_P[:, None], 2.0)
            offsets.append(keys_PX.topk(width, largest=False, sorted=True).indices)
        return torch.cat(offsets)
