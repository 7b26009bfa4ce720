"""A truncated SVD whose result does not depend on the machine, or on what was computed before."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh
from threadpoolctl import threadpool_limits


def spectral_embedding(matrix: sp.csr_array, rank: int) -> NDArray[np.float64]:
    """``[rows, rank]``: left singular vectors times their values, the largest value first.

    Signs are fixed by making the largest entry of each dimension positive. ``scipy``'s ``svds`` is
    the same but for the source of the random vectors with which ARPACK starts again where values
    are equal: it cannot be told one.

    Args:
        matrix: Any sparse matrix.
        rank: From 1 to the smaller side of the matrix less one.
    """
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T.tocsr()
    wide = tall.T.tocsr()
    n = tall.shape[1]
    gram = LinearOperator((n, n), matvec=lambda x: wide @ (tall @ x), dtype=np.float64)
    with threadpool_limits(1):  # sums, and so the last bits, must not depend on the machine's cores
        _, right = eigsh(gram, k=rank, v0=np.ones(n), rng=np.random.default_rng(0))
        left, values, across = np.linalg.svd(tall @ right, full_matrices=False)
    embedding = left * values if tall is matrix else (right @ across.T) * values
    largest = np.abs(embedding).argmax(axis=0)
    return np.asarray(embedding * np.sign(embedding[largest, np.arange(rank)]))
