"""Users as tasks: padded batches of support and query.

Shapes: B users, S support ratings, Q query ratings, F user features. A batch is padded with the
unknown item, rating 0 and mask False; no method may let padding change a result.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Support(NamedTuple):
    """What is known of ``B`` users at the moment of adapting to them."""

    items_BS: Tensor  # int64, rows of the catalogue; 0 where padded
    targets_BS: Tensor  # float32, rating points (or 0/1 likes with the click-through head)
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

    @property
    def n_users(self) -> int:
        """Number of tasks in the batch, ``B``."""
        return self.support.n_users

    def rows(self, index: slice | Tensor) -> Episodes:
        """The same fields for a part of the tasks."""
        return Episodes(self.support.rows(index), *(field[index] for field in self[1:]))

    def to(self, device: torch.device | str) -> Episodes:
        """The same batch on another device."""
        return Episodes(self.support.to(device), *(field.to(device) for field in self[1:]))
