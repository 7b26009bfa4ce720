"""Truncated SVDs: equal to the dense one, the same every time, and at an end on any matrix."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from coldstart.data.embedding import leading_vectors, spectral_embedding


def _sparse(rows: int, columns: int) -> sp.csr_array:
    rng = np.random.default_rng(0)
    return sp.csr_array(rng.random((rows, columns)) * (rng.random((rows, columns)) < 0.3))


@pytest.mark.parametrize("shape", [(60, 25), (25, 60)])
def test_they_are_the_leading_singular_vectors(shape: tuple[int, int]) -> None:
    matrix = _sparse(*shape)
    left, values = leading_vectors(matrix, 5, np.ones(min(shape)))
    exact, sizes, _ = np.linalg.svd(matrix.toarray())
    np.testing.assert_allclose(values, sizes[:5])
    np.testing.assert_allclose(np.abs(left), np.abs(exact[:, :5]), atol=1e-8)


@pytest.mark.parametrize(
    ("matrix", "rank"),
    [
        (np.ones((30, 12)), 1),  # everybody rated everything
        (np.kron(np.eye(4), np.ones((3, 2))), 4),  # communities of one size
        (np.zeros((7, 5)), 0),
        (np.ones((2, 2)), 1),
        (np.ones((1, 5)), 0),  # of the last vector of the smaller side nothing is known
        (np.outer(np.arange(9.0), np.ones(300)), 1),
    ],
)
def test_a_matrix_of_low_rank_has_as_many_and_the_same_every_time(
    matrix: np.ndarray, rank: int
) -> None:
    found = [leading_vectors(sp.csr_array(matrix), 6, np.ones(min(matrix.shape))) for _ in range(3)]
    for left, values in found:
        assert int((values > 0).sum()) == rank
        assert np.array_equal(left, found[0][0])
        np.testing.assert_allclose(left.T @ left, np.diag(values > 0), atol=1e-8)


def test_the_largest_entry_of_a_dimension_is_positive() -> None:
    embedding = spectral_embedding(_sparse(40, 30), 4)
    assert (embedding.max(0) == np.abs(embedding).max(0)).all()
