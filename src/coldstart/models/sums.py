"""Sums of symmetric matrices over the ratings of each user or item, as sparse products.

Legend: R rows, E entities that are rated, D features.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]


def symmetric_sums(pattern: sparse.csr_array | sparse.csc_array, symmetric_EDD: Array) -> Array:
    """``[R, D, D]``: sums over the ones of each row, of which one triangle is summed."""
    n, d, _ = symmetric_EDD.shape
    row, column = np.tril_indices(d)
    place_DD = np.zeros((d, d), dtype=np.int64)
    place_DD[row, column] = place_DD[column, row] = np.arange(len(row))
    half = np.take(symmetric_EDD.reshape(n, d * d), d * row + column, axis=1)
    sums: Array = np.take(pattern @ half, place_DD.ravel(), axis=1).reshape(-1, d, d)
    return sums
