"""`implicit` 0.7.3: item-kNN, and ALS whose new users are folded in by ``recalculate_user``."""

from __future__ import annotations

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender

from coldstart.data.episodes import Support
from coldstart.data.prepared import Prepared
from peer_libraries.adapter import SEED, Floats, Peer, Scorer, Setting
from peer_libraries.feedback import BELOW, feedback, where_known

_NEIGHBOURS = {"cosine": CosineRecommender, "tfidf": TFIDFRecommender, "bm25": BM25Recommender}


def fit_als(prepared: Prepared, fold: int, setting: Setting) -> Scorer:
    """Weights are confidences."""
    options = {name: value for name, value in setting.items() if name != "below"}
    known = feedback(prepared, fold, setting["below"])
    model = AlternatingLeastSquares(random_state=SEED, num_threads=1, **options)
    model.fit(known.weights_UN, show_progress=False)

    def score(support: Support) -> Floats:
        rows_BN = known.of_new_users(support)
        scores_BN = np.full(rows_BN.shape, np.nan, dtype=np.float32)
        given_B = np.flatnonzero(rows_BN.getnnz(1))
        if len(given_B):
            users_BD = model.recalculate_user(np.arange(len(given_B)), rows_BN[given_B])
            scores_BN[given_B] = users_BD @ model.item_factors.T
        return scores_BN

    return score


def fit_item_knn(prepared: Prepared, fold: int, setting: Setting) -> Scorer:
    """The sum of similarities to what the user rated, as the library recommends."""
    known = feedback(prepared, fold, setting["below"])
    model = _NEIGHBOURS[setting["weighting"]](K=setting["neighbours"], num_threads=1)
    model.fit(known.weights_UN, show_progress=False)

    def score(support: Support) -> Floats:
        return where_known((known.of_new_users(support) @ model.similarity).toarray())

    return score


ALS = {
    "factors": (8, 16, 32, 64),
    "regularization": (10.0, 30.0, 100.0),
    "alpha": (1.0, 4.0),
    "below": BELOW,
}
ITEM_KNN = {
    "weighting": ("cosine", "tfidf", "bm25"),
    "neighbours": (50, 100, 200, 400, 800),
    "below": BELOW,
}
PEERS = {
    "item_knn": Peer("item-kNN", "implicit", False, fit_item_knn, ITEM_KNN),
    "als": Peer("implicit ALS", "implicit", False, fit_als, ALS),
}
