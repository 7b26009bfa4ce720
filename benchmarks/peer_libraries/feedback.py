"""Ratings as the positive feedback that rankers learn from: 1 for a like, less for anything else.

What a person chose to rate says something even where they did not like it. How much it is to count,
``below``, every ranker may choose for itself on validation users, for the history and for the
support of a new user alike; 0 leaves it out.

Shapes: U historical users with feedback, B new users, N items with the unknown one (row 0).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from coldstart.data.episodes import Support
from coldstart.data.prepared import Prepared
from peer_libraries.adapter import Floats

BELOW = (0.0, 0.4, 1.0)
"""Values of ``below`` that are tried: only likes, in between, every rating the same."""


class Feedback(NamedTuple):
    """What is known of the historical users of a fold."""

    weights_UN: csr_matrix  # float32, 1 for a like, ``below`` for another rating
    users_U: NDArray[np.int64]  # their rows of users.parquet
    like: float  # targets above it are likes
    below: float

    def of_new_users(self, support: Support) -> csr_matrix:
        """The same weights of the support: ``[B, N]``."""
        kept_BS = (support.mask_BS & (support.items_BS > 0)).numpy()
        rows_R, columns_R = np.nonzero(kept_BS)
        items_R = support.items_BS.numpy()[rows_R, columns_R]
        liked_R = support.targets_BS.numpy()[rows_R, columns_R] > self.like
        shape = (support.n_users, self.weights_UN.shape[1])
        return _matrix(rows_R, items_R, liked_R, self.below, shape)


def feedback(prepared: Prepared, fold: int, below: float) -> Feedback:
    """Of the historical users who have any."""
    history = prepared.history(fold)
    liked_R = history.targets_R.numpy() > history.like
    shape = (history.n_users, history.n_items)
    matrix = _matrix(history.users_R.numpy(), history.items_R.numpy(), liked_R, below, shape)
    users_U = np.flatnonzero(matrix.getnnz(1))
    return Feedback(matrix[users_U], users_U, history.like, below)


def where_known(scores_BN: Floats) -> Floats:
    """Scores of which 0 means that nothing speaks for the item: those are left to the fallback."""
    return np.where(scores_BN == 0, np.float32(np.nan), scores_BN).astype(np.float32)


def _matrix(
    rows_R: NDArray[np.int64],
    items_R: NDArray[np.int64],
    liked_R: NDArray[np.bool_],
    below: float,
    shape: tuple[int, int],
) -> csr_matrix:
    weights_R = np.where(liked_R, 1.0, below).astype(np.float32)
    kept_R = weights_R > 0
    cells = (rows_R[kept_R], items_R[kept_R])
    return csr_matrix((weights_R[kept_R], cells), shape=shape)
