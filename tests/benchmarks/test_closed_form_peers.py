"""Peers in closed form: against the dense solution, by hand, and against the libraries."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from peer_libraries.closed_form_peers import ItemRegression, nearest_users

RNG = np.random.default_rng(5)
WEIGHTS = np.where(RNG.random((30, 12)) < 0.4, RNG.choice([1.0, 0.4], (30, 12)), 0.0)
NEW = np.where(RNG.random((4, 12)) < 0.3, 1.0, 0.0)


def dense(weights: NDArray[np.float64], penalty: float, dropout: float) -> NDArray[np.float64]:
    """``I - P diag(1 / P_jj)`` as the papers print it."""
    gram = weights.T @ weights
    extra = penalty + dropout / (1 - dropout) * np.diag(gram)
    precision = np.linalg.inv(gram + np.diag(extra))
    return np.asarray(np.eye(len(gram)) - precision / np.diag(precision))


@pytest.mark.parametrize(("penalty", "dropout"), [(5.0, 0.0), (200.0, 0.0), (1.0, 0.5)])
def test_item_regression_is_the_dense_solution(penalty: float, dropout: float) -> None:
    model = ItemRegression(csr_matrix(WEIGHTS, dtype=np.float32), penalty, dropout)
    found = model.scores(csr_matrix(NEW, dtype=np.float32))
    np.testing.assert_allclose(found, NEW @ dense(WEIGHTS, penalty, dropout), atol=1e-4)


def test_an_item_says_nothing_of_itself() -> None:
    model = ItemRegression(csr_matrix(WEIGHTS, dtype=np.float32), 3.0, 0.3)
    alone = model.scores(csr_matrix(np.eye(12), dtype=np.float32))
    np.testing.assert_allclose(np.diag(alone), 0, atol=1e-5)


def test_ease_is_cornacs_for_a_warm_user() -> None:
    cornac = pytest.importorskip("cornac")
    binary = (WEIGHTS > 0).astype(np.float32)
    rows, columns = np.nonzero(binary)
    ratings = [(int(u), int(i), 1.0) for u, i in zip(rows, columns, strict=True)]
    data = cornac.data.Dataset.from_uir(ratings)
    library = cornac.models.EASE(lamb=20, posB=False, verbose=False).fit(data)
    items = np.fromiter(data.iid_map, dtype=np.int64)
    ours = ItemRegression(csr_matrix(binary), 20.0, 0.0).scores(csr_matrix(binary))
    for user in (0, 7, 29):
        np.testing.assert_allclose(
            library.score(data.uid_map[user])[0], ours[user, items], atol=1e-4
        )


HISTORY = csr_matrix(np.array([[1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 0, 1]], dtype=np.float32))


def test_neighbours_vote_with_their_similarity() -> None:
    """A user of items 0 and 1: cosines 2 / sqrt(6), 1 / sqrt(6) and 0."""
    new = csr_matrix(np.array([[1, 1, 0, 0]], dtype=np.float32))
    near, far = 2 / np.sqrt(6), 1 / np.sqrt(6)
    found = nearest_users(new, HISTORY, 3, 1.0, rare=False)
    np.testing.assert_allclose(found, [[near, near + far, near + far, far]], rtol=1e-6)
    squared = nearest_users(new, HISTORY, 3, 2.0, rare=False)
    np.testing.assert_allclose(squared, [[4 / 6, 5 / 6, 5 / 6, 1 / 6]], rtol=1e-6)


def test_only_the_nearest_vote() -> None:
    new = csr_matrix(np.array([[1, 1, 0, 0], [0, 0, 0, 1]], dtype=np.float32))
    found = nearest_users(new, HISTORY, 1, 1.0, rare=False)
    near = 2 / np.sqrt(6)
    np.testing.assert_allclose(found, [[near, near, near, 0], [0, 0, 0, 1]], rtol=1e-6)


def test_rare_items_weigh_more() -> None:
    """Item 0 has one user of three, item 1 two: logarithms of 3 and 1.5."""
    new = csr_matrix(np.array([[1, 1, 0, 0]], dtype=np.float32))
    rare, common = np.log(3), np.log(1.5)
    own = np.hypot(rare, common)
    first = (rare**2 + common**2) / (own * np.sqrt(rare**2 + 2 * common**2))
    second = common**2 / (own * np.sqrt(3 * common**2))
    found = nearest_users(new, HISTORY, 3, 1.0, rare=True)
    np.testing.assert_allclose(found, [[first, *[first + second] * 2, second]], rtol=1e-5)


def test_nobody_is_near_to_a_user_without_ratings() -> None:
    assert not nearest_users(csr_matrix((2, 4), dtype=np.float32), HISTORY, 2, 1.0, rare=True).any()


def test_user_knn_is_lenskits_for_a_warm_user() -> None:
    """With all users as neighbours (LensKit takes the nearest of each item, we of the user), and
    but for a factor, the same for all items."""
    pandas, data = pytest.importorskip("pandas"), pytest.importorskip("lenskit.data")
    from lenskit.knn import UserKNNScorer
    from lenskit.training import TrainingOptions

    binary = (WEIGHTS > 0).astype(np.float32)
    rows, columns = np.nonzero(binary)
    table = pandas.DataFrame({"user_id": rows, "item_id": columns})
    library = UserKNNScorer(feedback="implicit", max_nbrs=1000, min_nbrs=1)
    library.train(data.from_interactions_df(table), TrainingOptions(rng=0))
    user = 7
    query = data.RecQuery(user_items=data.ItemList(item_ids=np.flatnonzero(binary[user])))
    theirs = library(query, data.ItemList(item_ids=np.arange(12))).scores()
    ours = nearest_users(csr_matrix(binary[[user]]), csr_matrix(binary), 1000, 1.0, rare=False)
    np.testing.assert_allclose(theirs / theirs.max(), ours[0] / ours[0].max(), rtol=1e-4)
