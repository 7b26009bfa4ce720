"""Lists that hardly know a user: what everybody rates or likes, and what people like them do.

Shapes: U historical users, B new users, F user features, N items.
"""

from __future__ import annotations

import numpy as np

from coldstart.data.episodes import Support
from coldstart.data.prepared import Prepared
from peer_libraries.adapter import Floats, Peer, Scorer, Setting
from peer_libraries.feedback import BELOW, feedback


def fit_popularity(prepared: Prepared, fold: int, setting: Setting) -> Scorer:
    """The same list for everybody, by the sum of weights."""
    known = feedback(prepared, fold, setting["below"])
    count_N = np.asarray(known.weights_UN.sum(0), dtype=np.float32).ravel()

    def score(support: Support) -> Floats:
        return np.tile(count_N, (support.n_users, 1))

    return score


def fit_alike(prepared: Prepared, fold: int, setting: Setting) -> Scorer:
    """Sums of weights in which each user counts ``exp(closeness * shared attributes)``."""
    known = feedback(prepared, fold, setting["below"])
    # our indicators are centred over those who have the attribute: positive where it applies
    own_UF = prepared.user_features_UF.numpy()[known.users_U] > 0

    def score(support: Support) -> Floats:
        shared_BU = (support.users_BF.numpy() > 0).astype(np.float32) @ own_UF.T
        counts_BU = np.exp(np.float32(setting["closeness"]) * shared_BU)
        scores_BN: Floats = counts_BU @ known.weights_UN
        return scores_BN

    return score


ALIKE = {"closeness": (0.25, 0.5, 1.0, 2.0), "below": BELOW}
PEERS = {
    "popularity": Peer("popularity", None, False, fit_popularity, {"below": (1.0,)}),
    "popularity_likes": Peer("popularity of likes", None, False, fit_popularity, {"below": (0.0,)}),
    "popularity_alike": Peer("popularity, same attributes", None, False, fit_alike, ALIKE),
}
