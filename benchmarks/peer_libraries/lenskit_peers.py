"""LensKit 2025.8.1: BiasedMF (ALS), ItemKNN and EASE; a new user's ratings come with the query.

Its BiasedSVD is left out: it cannot score a user who was not in the training data. As in LensKit's
own rating pipelines, what BiasedMF and ItemKNN do not score falls back to its BiasScorer.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from lenskit.als import BiasedMFScorer
from lenskit.basic import BiasScorer
from lenskit.data import ItemList, RecQuery, from_interactions_df
from lenskit.knn import EASEScorer, ItemKNNScorer
from lenskit.training import TrainingOptions

from coldstart.data.episodes import Support
from coldstart.data.prepared import Prepared
from peer_libraries.adapter import SEED, Floats, Peer, Scorer, Setting, known_ratings, rated_history


def _fit(
    component: Any, prepared: Prepared, fold: int, *, like: float = -np.inf, bias: bool = False
) -> Scorer:
    """Train on ratings of at least ``like``; ``bias`` adds the fallback."""
    history = rated_history(prepared, fold)
    columns = (history.users_R, history.items_R, history.targets_R)
    names = ("user_id", "item_id", "rating")
    table = pd.DataFrame({n: c.numpy() for n, c in zip(names, columns, strict=True)})
    table = table[table["rating"] >= like]
    data = from_interactions_df(table)
    component.train(data, TrainingOptions(rng=SEED))
    # ItemKNN panics on an item that it was not trained on
    seen_N = np.bincount(table["item_id"], minlength=history.n_items) > 0
    asked = [(component, np.flatnonzero(seen_N))]
    if bias:
        fallback = BiasScorer(damping=5)
        fallback.train(data, TrainingOptions(rng=SEED))
        asked.insert(0, (fallback, np.arange(1, history.n_items)))

    def score(support: Support) -> Floats:
        scores_BN = np.full((support.n_users, history.n_items), np.nan, dtype=np.float32)
        for row, (items_S, targets_S) in enumerate(known_ratings(support)):
            kept_S = (targets_S >= like) & seen_N[items_S]
            known = ItemList(item_ids=items_S[kept_S], rating=targets_S[kept_S])
            for scorer, items in asked:  # what comes later replaces what came first
                found = scorer(RecQuery(user_items=known), ItemList(item_ids=items)).scores()
                scores_BN[row, items] = np.where(np.isnan(found), scores_BN[row, items], found)
        return scores_BN

    return score


def fit_biased_mf(prepared: Prepared, fold: int, setting: Setting) -> Scorer:
    """Alternating least squares on what the biases leave."""
    return _fit(BiasedMFScorer(epochs=20, **setting), prepared, fold, bias=True)


def fit_item_knn(prepared: Prepared, fold: int, setting: Setting) -> Scorer:
    """Explicit feedback."""
    return _fit(ItemKNNScorer(**setting), prepared, fold, bias=True)


def fit_ease(prepared: Prepared, fold: int, setting: Setting) -> Scorer:
    """``feedback: likes`` takes only the liked items, ``ratings`` every rated one."""
    like = prepared.summary["like"] if setting["feedback"] == "likes" else -np.inf
    scorer = EASEScorer(regularization=setting["regularization"])
    return _fit(scorer, prepared, fold, like=like)


MF_GRID = tuple(
    {"embedding_size": size, "regularization": penalty}
    for size, penalty in product((5, 15, 50), (0.1, 0.2, 0.3, 0.5))
)
KNN_GRID = tuple(
    {"max_nbrs": neighbours, "min_nbrs": fewest, "min_sim": similarity}
    for neighbours, fewest, similarity in product((5, 20), (1, 2), (1e-6, 0.3, 0.5, 0.7))
)
EASE_GRID = tuple(
    {"regularization": penalty, "feedback": feedback}
    for penalty, feedback in product((100.0, 300.0, 600.0, 1e3, 2e3, 4e3), ("likes", "ratings"))
)
PEERS = {
    "lenskit_biasedmf": Peer("lenskit", rating=True, fit=fit_biased_mf, grid=MF_GRID),
    "lenskit_itemknn": Peer("lenskit", rating=True, fit=fit_item_knn, grid=KNN_GRID),
    "lenskit_ease": Peer("lenskit", rating=False, fit=fit_ease, grid=EASE_GRID),
}
