"""`implicit` 0.7.3: ALS for implicit feedback; a new user is folded in by ``recalculate_user``."""

from __future__ import annotations

from itertools import product

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix

from coldstart.data.episodes import Support
from coldstart.data.prepared import Prepared
from peer_libraries.adapter import SEED, Floats, Peer, Scorer, Setting, known_ratings, rated_history


def fit_als(prepared: Prepared, fold: int, setting: Setting) -> Scorer:
    """``feedback: ratings`` takes the rating as confidence, ``likes`` counts likes alone."""
    history = rated_history(prepared, fold)
    options = {name: value for name, value in setting.items() if name != "feedback"}
    like = prepared.summary["like"] if setting["feedback"] == "likes" else -np.inf
    kept_R = history.targets_R.numpy() >= like
    confidence_R = _confidence(history.targets_R.numpy()[kept_R], setting)
    cells = (history.users_R.numpy()[kept_R], history.items_R.numpy()[kept_R])
    matrix = csr_matrix((confidence_R, cells), shape=(history.n_users, history.n_items))
    model = AlternatingLeastSquares(random_state=SEED, num_threads=1, **options)
    model.fit(matrix, show_progress=False)

    def score(support: Support) -> Floats:
        scores_BN = np.full((support.n_users, history.n_items), np.nan, dtype=np.float32)
        for row, (items_S, targets_S) in enumerate(known_ratings(support)):
            kept_S = targets_S >= like
            if kept_S.any():
                values_S, items_S = _confidence(targets_S[kept_S], setting), items_S[kept_S]
                cells = (np.zeros(len(items_S), dtype=np.int32), items_S.astype(np.int32))
                user = csr_matrix((values_S, cells), shape=(1, history.n_items))
                scores_BN[row] = model.item_factors @ model.recalculate_user(0, user).ravel()
        return scores_BN

    return score


def _confidence(targets: Floats, setting: Setting) -> Floats:
    return targets if setting["feedback"] == "ratings" else np.ones_like(targets)


GRID = tuple(
    {"factors": factors, "regularization": penalty, "alpha": 1.0, "feedback": feedback}
    for factors, penalty, feedback in product(
        (16, 64, 128), (10.0, 30.0, 100.0), ("likes", "ratings")
    )
)
PEERS = {"implicit_als": Peer("implicit", rating=False, fit=fit_als, grid=GRID)}
