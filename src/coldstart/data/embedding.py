"""A truncated SVD whose result does not depend on the machine."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import svds
from threadpoolctl import threadpool_limits


def spectral_embedding(matrix: sp.csr_array, rank: int) -> NDArray[np.float64]:
    """``[rows, rank]``: left singular vectors times their values, the largest value first.

    Signs are fixed by making the largest entry of each dimension positive.

    Args:
        matrix: Any sparse matrix.
        rank: From 1 to the smaller side of the matrix less one.
    """
    with threadpool_limits(1):  # sums, and so the last bits, must not depend on the machine's cores
        left, values, _ = svds(matrix, k=rank, v0=np.ones(min(matrix.shape)), solver="arpack")
    order = np.argsort(-values)
    embedding = left[:, order] * values[order]
    largest = np.abs(embedding).argmax(axis=0)
    return np.asarray(embedding * np.sign(embedding[largest, np.arange(rank)]))
