"""A truncated SVD, against the full one, and where its values are equal."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from coldstart.data.embedding import spectral_embedding


@pytest.mark.parametrize("shape", [(30, 12), (12, 30)])
def test_it_is_the_start_of_the_full_one(shape: tuple[int, int]) -> None:
    matrix = sp.random_array(shape, density=0.3, rng=np.random.default_rng(0)).tocsr()
    left, values, _ = np.linalg.svd(matrix.toarray(), full_matrices=False)
    expected = left[:, :4] * values[:4]
    expected *= np.sign(expected[np.abs(expected).argmax(axis=0), range(4)])
    np.testing.assert_allclose(spectral_embedding(matrix, 4), expected, atol=1e-12)


def test_equal_values_give_the_same_bytes_again() -> None:
    matrix = sp.csr_array(np.kron(np.eye(4), np.ones((2, 1))))  # four values of 2 ** 0.5
    first = spectral_embedding(matrix, 2)
    np.testing.assert_allclose(first.T @ first, 2 * np.eye(2), atol=1e-12)
    for _ in range(5):
        assert np.array_equal(spectral_embedding(matrix, 2), first)
