"""LightFM with side information (WARP); a new user is the sum of their attributes' embeddings.

LightFM has no fold-in: whatever the support, a new user keeps the scores of K=0. LightFM 1.17
itself no longer builds (its ``setup.py`` fails under PEP 517); ``rectools-lightfm`` 1.17.3 is the
maintained fork of the same code, under the same import name.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from lightfm import LightFM
from scipy.sparse import coo_matrix, csr_matrix, hstack, identity

from coldstart.data.episodes import Support
from coldstart.data.prepared import Prepared
from peer_libraries.adapter import SEED, Floats, Peer, Scorer, Setting, rated_history


def fit_warp(prepared: Prepared, fold: int, setting: Setting) -> Scorer:
    """Learn from likes; users and items have an embedding of their own and of each attribute."""
    history = rated_history(prepared, fold)
    options = {name: value for name, value in setting.items() if name != "epochs"}
    liked_R = history.targets_R.numpy() >= prepared.summary["like"]
    cells = (history.users_R.numpy()[liked_R], history.items_R.numpy()[liked_R])
    shape = (history.n_users, history.n_items)
    likes = coo_matrix((np.ones(len(cells[0]), dtype=np.float32), cells), shape=shape)
    labels = prepared.summary["item_features"]
    genres = [i for i, label in enumerate(labels) if label.startswith("genre=")]
    # our indicators are centred over those who have the attribute: positive where it applies
    attributes_UF = csr_matrix(history.user_features_UF.numpy() > 0, dtype=np.float32)
    genres_NG = csr_matrix(history.item_features_NG.numpy()[:, genres] > 0, dtype=np.float32)
    users = hstack([attributes_UF, identity(history.n_users, dtype=np.float32)]).tocsr()
    items = hstack([genres_NG, identity(history.n_items, dtype=np.float32)]).tocsr()
    model = LightFM(loss="warp", random_state=SEED, **options)
    model.fit(likes, users, items, epochs=setting["epochs"], num_threads=1)
    item_bias_N, item_ND = model.get_item_representations(items)

    def score(support: Support) -> Floats:
        known_BF = support.users_BF.numpy() > 0
        none_BU = csr_matrix((support.n_users, history.n_users), dtype=np.float32)
        new_users = hstack([csr_matrix(known_BF, dtype=np.float32), none_BU]).tocsr()
        user_bias_B, user_BD = model.get_user_representations(new_users)
        scores_BN: Floats = user_BD @ item_ND.T + item_bias_N + user_bias_B[:, None]
        return scores_BN

    return score


GRID = tuple(
    {"no_components": factors, "epochs": epochs, "learning_rate": 0.05, "item_alpha": alpha}
    for factors, epochs, alpha in product((32, 128), (1, 2, 5), (1e-5, 1e-4, 1e-3))
)
PEERS = {"lightfm_warp": Peer("rectools-lightfm", rating=False, fit=fit_warp, grid=GRID)}
