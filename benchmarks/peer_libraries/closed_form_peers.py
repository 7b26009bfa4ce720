"""EASE, EDLAE and user-kNN in closed form: a row of a new user times what was learnt.

EASE (Steck 2019) predicts each item from all others by ridge regression; EDLAE (Steck 2020, full
rank) penalises an item by how often it occurs, as dropout of the input does:

    P = (X'X + D)^-1    D = penalty + dropout / (1 - dropout) diag(X'X)    B = I - P diag(1 / P_jj)

P is never formed. With S = X D^-1/2 it is D^-1/2 (I - S' (I + S S')^-1 S) D^-1/2, so memory is
quadratic in the users, not in the items, and a catalogue of 20,000 items needs no cut. With far
more users than items that is the wrong way round.

Shapes: U historical users, B new users, N items, K neighbours.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack
from scipy.sparse import csr_matrix, diags

from coldstart.data.episodes import Support
from coldstart.data.prepared import Prepared
from peer_libraries.adapter import Floats, Peer, Scorer, Setting
from peer_libraries.feedback import BELOW, feedback, where_known

_BLOCK = 2048  # items at once, so that U x N is never dense


class ItemRegression:
    """Every item from all others: ``scores = rows @ B``."""

    def __init__(self, weights_UN: csr_matrix, penalty: float, dropout: float) -> None:
        """Solve for all items at once; float32, within 1e-4 of the dense solution."""
        squares_N = np.asarray(weights_UN.multiply(weights_UN).sum(0)).ravel()
        self._scale_N = 1 / np.sqrt(penalty + dropout / (1 - dropout) * squares_N)
        self._scaled_UN = (weights_UN @ diags(self._scale_N)).tocsr().astype(np.float32)
        kernel_UU = (self._scaled_UN @ self._scaled_UN.T).toarray()
        kernel_UU[np.diag_indices_from(kernel_UU)] += 1
        self._inverse_UU = _inverse(kernel_UU)
        explained_N = np.empty(weights_UN.shape[1], dtype=np.float32)
        columns = self._scaled_UN.tocsc()
        for start in range(0, len(explained_N), _BLOCK):
            part = columns[:, start : start + _BLOCK]
            product = part.multiply(self._inverse_UU @ part)
            explained_N[start : start + _BLOCK] = np.asarray(product.sum(0)).ravel()
        self._diagonal_N = (1 - explained_N) * self._scale_N**2

    def scores(self, rows_BN: csr_matrix) -> Floats:
        """Of new users: ``[B, N]``."""
        scaled_BN = (rows_BN @ diags(self._scale_N)).astype(np.float32)
        known_BU = (scaled_BN @ self._scaled_UN.T).toarray()
        explained_BN = (known_BU @ self._inverse_UU) @ self._scaled_UN
        precision_BN = (scaled_BN.toarray() - explained_BN) * self._scale_N
        found_BN = (rows_BN.toarray() - precision_BN / self._diagonal_N).astype(np.float32)
        scores_BN: Floats = found_BN
        return scores_BN


def _inverse(matrix_UU: Floats) -> Floats:
    """Of a symmetric positive definite matrix, which is overwritten."""
    factor_UU, failed = lapack.spotrf(
        matrix_UU.T, overwrite_a=True
    )  # in place: .T is Fortran's order
    assert failed == 0, "I + S S' is positive definite"
    inverse_UU, failed = lapack.spotri(factor_UU, overwrite_c=True)
    assert failed == 0
    upper_UU = np.triu(inverse_UU)
    full_UU: Floats = upper_UU + np.triu(upper_UU, 1).T
    return full_UU


def fit_item_regression(prepared: Prepared, fold: int, setting: Setting) -> Scorer:
    """EASE; with ``dropout`` EDLAE."""
    known = feedback(prepared, fold, setting["below"])
    model = ItemRegression(known.weights_UN, setting["penalty"], setting.get("dropout", 0.0))
    return lambda support: where_known(model.scores(known.of_new_users(support)))


def nearest_users(
    rows_BN: csr_matrix, weights_UN: csr_matrix, neighbours: int, power: float, *, rare: bool
) -> Floats:
    """Sums of the weights of the most similar users, by the cosine to the ``power``: ``[B, N]``.

    ``rare`` multiplies weights by the logarithm of users per user of the item before comparing.
    """
    users_N = np.maximum(weights_UN.getnnz(0), 1)
    idf_N = np.log(weights_UN.shape[0] / users_N) if rare else np.ones(len(users_N))
    one_BN, other_UN = _unit(rows_BN @ diags(idf_N)), _unit(weights_UN @ diags(idf_N))
    cosine_BU = (one_BN @ other_UN.T).toarray()
    if neighbours < cosine_BU.shape[1]:
        least_B1 = -np.partition(-cosine_BU, neighbours - 1, axis=1)[:, neighbours - 1 : neighbours]
        cosine_BU = np.where(cosine_BU >= least_B1, cosine_BU, 0.0)
    found_BN: Floats = (cosine_BU**power).astype(np.float32) @ weights_UN
    return found_BN


def _unit(rows: csr_matrix) -> csr_matrix:
    norm = np.sqrt(np.asarray(rows.multiply(rows).sum(1)).ravel())
    unit: csr_matrix = diags(1 / np.where(norm > 0, norm, 1)) @ rows
    return unit


def fit_user_knn(prepared: Prepared, fold: int, setting: Setting) -> Scorer:
    """Nothing to fit."""
    options = {name: value for name, value in setting.items() if name != "below"}
    known = feedback(prepared, fold, setting["below"])

    def score(support: Support) -> Floats:
        rows_BN = known.of_new_users(support)
        return where_known(nearest_users(rows_BN, known.weights_UN, **options))

    return score


EASE = {"penalty": (300.0, 1000.0, 3000.0, 1e4, 3e4, 1e5), "below": BELOW}
EDLAE = {"dropout": (0.1, 0.3, 0.6, 0.9), "penalty": (300.0, 3000.0, 3e4), "below": BELOW}
USER_KNN = {
    "neighbours": (30, 100, 300, 100_000),
    "power": (1.0, 2.0),
    "rare": (False, True),
    "below": BELOW,
}
PEERS = {
    "user_knn": Peer("user-kNN", None, False, fit_user_knn, USER_KNN),
    "ease_r": Peer("EASE", None, False, fit_item_regression, EASE),
    "edlae": Peer("EDLAE", None, False, fit_item_regression, EDLAE),
}
