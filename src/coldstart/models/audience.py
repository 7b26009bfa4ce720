"""What the choices of historical users say of items: who rates them, and how many do.

Items rated by the same people are alike, whatever the ratings. Their audiences are embedded as in
spectral co-clustering (Dhillon 2001): leading singular vectors of the incidence matrix of items
and users, each side divided by the root of its number of ratings, without the first pair, which
only says how often everything occurs. Rows are shrunk where few ratings are known.

Legend: N items with the unknown one, U users with a rating, M features.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from coldstart.data.embedding import spectral_embedding
from coldstart.data.episodes import History

DAMPING = 5.0
"""Ratings added to an item's, so that the audience of a rare one is not a few single users."""


LEAST = 1e-9
"""Deviation that is rounding."""


def audience_features(history: History, dimensions: int) -> Tensor:
    """Standardised features of items ``[N, M]``: audience and log of the number of ratings.

    An item counts as often as it is rated in the mean and deviation of its audience; one without
    any rating gets zeros. No rating's value is read, but choices of all historical users are: these
    features are not cross-fitted.

    Args:
        history: ratings of the historical users.
        dimensions: most dimensions of the audience; fewer where there are too few users or items,
            and 0 for everybody where all items have the same audience.
    """
    users, row_R = np.unique(history.users_R.numpy(), return_inverse=True)
    item_R = history.items_R.numpy()
    count_N = np.bincount(item_R, minlength=history.n_items).astype(np.float64)
    root_N, root_U = np.sqrt(count_N + DAMPING), np.sqrt(np.bincount(row_R))
    scaled_R = 1 / (root_N[item_R] * root_U[row_R])
    shape = (len(users), history.n_items)
    # by user, as ratings come: read by item, a product jumps about in all users
    matrix_NU = sp.csr_array((scaled_R, (row_R, item_R)), shape=shape).T
    rank = max(1, min(1 + dimensions, min(shape) - 1))
    audience_NM = spectral_embedding(matrix_NU, rank)[:, 1:] / root_N[:, None]
    share_N = count_N / count_N.sum()
    audience_NM -= share_N @ audience_NM
    audience_NM[count_N == 0] = 0
    audience_NM /= _or_one(np.sqrt(share_N @ audience_NM**2))
    popularity_N = np.log1p(count_N)
    popularity_N -= popularity_N[1:].mean()
    popularity_N /= _or_one(popularity_N[1:].std())
    popularity_N[count_N == 0] = 0  # as popular as an item is on average: it may be new
    features_NM = np.column_stack([audience_NM, popularity_N])
    return torch.from_numpy(features_NM.astype(np.float32))


def _or_one(deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """What to divide by: features that are the same for all items stay 0."""
    return np.where(deviation > LEAST, deviation, 1.0)
