"""Cornac 3.0.1: biased matrix factorisation by SGD.

Cornac has no fold-in: a new user is served by fitting anew with the support among the ratings. All
new users of a call are added at once.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from cornac.data import Dataset
from cornac.models import MF

from coldstart.data.episodes import Support
from coldstart.data.prepared import Prepared
from peer_libraries.adapter import SEED, Floats, Peer, Scorer, Setting, known_ratings, rated_history


def fit_mf(prepared: Prepared, fold: int, setting: Setting) -> Scorer:
    """Nothing is fitted before the new users are known."""
    history = rated_history(prepared, fold)
    columns = (history.users_R, history.items_R, history.targets_R)
    ratings = list(zip(*(column.tolist() for column in columns), strict=True))

    def score(support: Support) -> Floats:
        new = [
            (history.n_users + row, int(item), float(target))
            for row, (items_S, targets_S) in enumerate(known_ratings(support))
            for item, target in zip(items_S, targets_S, strict=True)
        ]
        data = Dataset.from_uir(ratings + new, seed=SEED)
        model = MF(use_bias=True, num_threads=1, seed=SEED, **setting).fit(data)
        items_M = np.fromiter(data.iid_map, dtype=np.int64)  # in the order of its item rows
        scores_BN = np.full((support.n_users, history.n_items), np.nan, dtype=np.float32)
        for row in range(support.n_users):
            user = data.uid_map.get(history.n_users + row)  # None at K=0: Cornac's own answer
            scores_BN[row, items_M] = model.score(user)
        return scores_BN

    return score


GRID = tuple(
    {"k": factors, "max_iter": epochs, "learning_rate": 0.01, "lambda_reg": penalty}
    for factors, epochs, penalty in product((40, 160, 320), (20, 30), (0.003, 0.01, 0.05))
)
PEERS = {"cornac_mf": Peer("cornac", rating=True, fit=fit_mf, grid=GRID)}
