"""Sums over users of products of residuals, for the most rated items: what item models start from.

Legend: U users, N items, M the most rated of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from coldstart.baselines._offsets import Offsets, residual_matrices
from coldstart.data.episodes import History


@dataclass(frozen=True)
class ItemGram:
    """Of ``M`` items at the most, so that a large catalogue costs no more than ``M^2``."""

    items_M: Tensor  # int64, ascending rows of the catalogue
    products_MM: Tensor  # float64: sum over common raters of the product of their residuals
    common_MM: Tensor  # float64: number of common raters

    @classmethod
    def of(cls, history: History, offsets: Offsets, max_items: int) -> Self:
        """The ``max_items`` items with the most ratings; of equal ones the first."""
        count_N = torch.bincount(history.items_R, minlength=history.n_items)
        order_N = count_N.argsort(descending=True, stable=True)
        items_M = order_N[: min(max_items, int((count_N > 0).sum()))].sort().values
        rest, seen = residual_matrices(history, offsets)
        return cls(items_M, _gram(rest[:, items_M.numpy()]), _gram(seen[:, items_M.numpy()]))

    @property
    def variance(self) -> float:
        """Mean squared residual of a rating of these items; above 0 even where all agree."""
        return max(float(self.products_MM.trace() / self.common_MM.trace()), 1e-6)

    def rows(self, n_items: int) -> Tensor:
        """For each of the ``N`` items 1 plus its place in ``items_M``; 0 for all others."""
        row_N = torch.zeros(n_items, dtype=torch.int64)
        row_N[self.items_M] = torch.arange(1, len(self.items_M) + 1)
        return row_N


def _gram(matrix_UM: sparse.csc_array) -> Tensor:
    rows = matrix_UM.tocsr().astype(np.float64)
    return torch.from_numpy((rows.T @ rows).toarray())
