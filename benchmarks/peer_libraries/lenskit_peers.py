"""LensKit 2025.8.1: BiasedMF (ALS) and ItemKNN for ratings, SLIM for lists.

A new user's ratings come with the query, or as a row for SLIM's matrix. As in LensKit's own rating
pipelines, what BiasedMF and ItemKNN do not score falls back to its BiasScorer.

Shapes: B users, S support, N items, M items that the library knows, R ratings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from lenskit.als import BiasedMFScorer
from lenskit.basic import BiasScorer
from lenskit.data import ItemList, RecQuery, from_interactions_df
from lenskit.knn import ItemKNNScorer, SLIMScorer
from lenskit.training import TrainingOptions

from coldstart.data.episodes import Support
from coldstart.data.prepared import Prepared
from peer_libraries.adapter import SEED, Floats, Peer, Scorer, Setting, known_ratings, rated_history
from peer_libraries.feedback import feedback, where_known


def _rating_predictor(component: Any, prepared: Prepared, fold: int) -> Scorer:
    history = rated_history(prepared, fold)
    columns = (history.users_R, history.items_R, history.targets_R)
    names = ("user_id", "item_id", "rating")
    table = pd.DataFrame({n: c.numpy() for n, c in zip(names, columns, strict=True)})
    data = from_interactions_df(table)
    component.train(data, TrainingOptions(rng=SEED))
    fallback = BiasScorer(damping=5)
    fallback.train(data, TrainingOptions(rng=SEED))
    # ItemKNN panics on an item that it was not trained on
    seen_N = np.bincount(table["item_id"], minlength=history.n_items) > 0
    asked = [(fallback, np.arange(1, history.n_items)), (component, np.flatnonzero(seen_N))]

    def score(support: Support) -> Floats:
        scores_BN = np.full((support.n_users, history.n_items), np.nan, dtype=np.float32)
        for row, (items_S, targets_S) in enumerate(known_ratings(support)):
            kept_S = seen_N[items_S]
            known = ItemList(item_ids=items_S[kept_S], rating=targets_S[kept_S])
            for scorer, items in asked:  # what comes later replaces what came first
                found = scorer(RecQuery(user_items=known), ItemList(item_ids=items)).scores()
                scores_BN[row, items] = np.where(np.isnan(found), scores_BN[row, items], found)
        return scores_BN

    return score


def fit_biased_mf(prepared: Prepared, fold: int, setting: Setting) -> Scorer:
    """Alternating least squares on what the biases leave."""
    return _rating_predictor(BiasedMFScorer(epochs=20, **setting), prepared, fold)


def fit_item_knn(prepared: Prepared, fold: int, setting: Setting) -> Scorer:
    """Explicit feedback."""
    return _rating_predictor(ItemKNNScorer(**setting), prepared, fold)


def fit_slim(prepared: Prepared, fold: int, setting: Setting) -> Scorer:
    """Every item from the others, sparsely; what was rated counts or not, without weights."""
    known = feedback(prepared, fold, setting["below"])
    cells = known.weights_UN.tocoo()
    data = from_interactions_df(pd.DataFrame({"user_id": cells.row, "item_id": cells.col}))
    options = {name: value for name, value in setting.items() if name != "below"}
    model = SLIMScorer(**options)
    model.train(data, TrainingOptions(rng=SEED))
    items_M = np.asarray(model.items.ids(), dtype=np.int64)

    def score(support: Support) -> Floats:
        scores_BN = np.full((support.n_users, known.weights_UN.shape[1]), np.nan, np.float32)
        rows_BM = known.of_new_users(support)[:, items_M]
        scores_BN[:, items_M] = where_known((rows_BM @ model.weights).toarray())
        return scores_BN

    return score


BIASED_MF = {"embedding_size": (5, 15, 50), "regularization": (0.1, 0.2, 0.3, 0.5)}
RATING_KNN = {"max_nbrs": (5, 20), "min_nbrs": (1, 2), "min_sim": (1e-6, 0.3, 0.5, 0.7)}
SLIM = {
    "l1_reg": (0.5, 2.0, 8.0, 30.0),
    "l2_reg": (100.0, 1000.0, 1e4, 1e5),
    "below": (0.0, 1.0),
}
PEERS = {
    "lenskit_biasedmf": Peer("LensKit BiasedMF", "lenskit", True, fit_biased_mf, BIASED_MF),
    "lenskit_itemknn": Peer("LensKit ItemKNN", "lenskit", True, fit_item_knn, RATING_KNN),
    "slim": Peer("SLIM", "lenskit", False, fit_slim, SLIM),
}
