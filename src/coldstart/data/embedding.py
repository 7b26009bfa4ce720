"""Truncated SVDs: the same on every machine, and with an end on any data."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float64]
Matrix = sp.csr_array | sp.csc_array | LinearOperator
FAINT = 1e-6
"""Singular values below this share of the largest are rounding: their vectors mean nothing."""
POWERS = 8
"""Products with the matrix and its transpose by which a random subspace is turned."""
SPARE = 8
"""Dimensions of that subspace beyond those that are wanted."""


def spectral_embedding(matrix: sp.csr_array | sp.csc_array, rank: int) -> Floats:
    """``[rows, rank]``: left singular vectors times their values, the largest value first.

    Signs are fixed by making the largest entry of each dimension positive. Dimensions that the
    matrix has not are 0.

    Args:
        matrix: Any sparse matrix.
        rank: Dimensions that are wanted; at most the smaller side of the matrix less one is known.
    """
    left, values = leading_vectors(matrix, rank, np.ones(min(matrix.shape)))
    embedding = left * values
    largest = np.abs(embedding).argmax(axis=0)
    return np.asarray(embedding * np.sign(embedding[largest, np.arange(rank)]))


def leading_vectors(matrix: Matrix, rank: int, start: Floats) -> tuple[Floats, Floats]:
    """Left singular vectors ``[rows, rank]`` and values ``[rank]``, the largest value first.

    Both are 0 beyond the rank that the matrix has. What ``scipy.sparse.linalg.svds`` computes, but
    for two kinds of data: where singular values are equal, Lanczos starts again from a random
    vector, which has a seed here; where it does not converge (everybody rated everything, say), a
    subspace iteration takes its place, which always ends (Halko, Martinsson & Tropp 2011,
    algorithm 4.4).

    Args:
        matrix: Of real numbers.
        rank: Vectors that are wanted; of the last one of the smaller side nothing is known.
        start: What the decomposition starts from, as long as the smaller side.
    """
    rows, columns = matrix.shape
    left, values = np.zeros((rows, rank)), np.zeros(rank)
    known = min(rank, min(rows, columns) - 1)
    if known < 1:
        return left, values
    with threadpool_limits(1):  # sums, and so the last bits, must not depend on the machine's cores
        tall = matrix if rows >= columns else matrix.T
        basis = _leading_basis(tall, known, start)
        found, sizes, turn = np.linalg.svd(tall @ basis, full_matrices=False)
    if rows < columns:
        found = basis @ turn.T
    kept = sizes > FAINT * max(sizes.max(), np.finfo(np.float64).tiny)
    left[:, : kept.sum()], values[: kept.sum()] = found[:, kept], sizes[kept]
    return left, values


def _leading_basis(tall: Matrix, rank: int, start: Floats) -> Floats:
    """An orthonormal basis of the leading right singular vectors: ``[columns, rank]``."""
    wide, rng = tall.T, np.random.default_rng(0)
    n = tall.shape[1]
    gram = LinearOperator((n, n), matvec=lambda v: wide @ (tall @ v), dtype=np.float64)
    try:
        _, vectors = eigsh(gram, k=rank, v0=start, rng=rng)
    except ArpackError:
        vectors = rng.normal(size=(n, min(rank + SPARE, n)))
        for _ in range(POWERS):
            vectors = np.linalg.qr(wide @ (tall @ vectors))[0]
        turn = np.linalg.svd(tall @ vectors, full_matrices=False)[2]
        vectors = vectors @ turn[:rank].T
    return np.asarray(np.linalg.qr(vectors)[0], dtype=np.float64)
