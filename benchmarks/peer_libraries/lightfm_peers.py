"""LightFM with side information (WARP); a new user is their attributes and what they rated.

LightFM has no fold-in: it serves a new user by the sum of their attributes' embeddings, whatever
they rated. So we add one: what is missing of a user, their own embedding, is predicted by ridge
regression from the mean embedding of the items that they rated, learnt from random supports of the
historical users. LightFM 1.17 itself no longer builds (its ``setup.py`` fails under PEP 517);
``rectools-lightfm`` 1.17.3 is the maintained fork of the same code, under the same import name.

Shapes: U historical users, B new users, N items, D components, F user features, G item features.
"""

from __future__ import annotations

import numpy as np
from lightfm import LightFM
from scipy.sparse import coo_matrix, csr_matrix, diags, hstack, identity

from coldstart.data.episodes import Support
from coldstart.data.prepared import Prepared
from peer_libraries.adapter import SEED, Floats, Peer, Scorer, Setting
from peer_libraries.feedback import BELOW, feedback

_DRAWS = 4  # random supports of each historical user
_DAMPING = 3.0  # ratings at which the mean of the items' embeddings counts a half


def fit_warp(prepared: Prepared, fold: int, setting: Setting) -> Scorer:
    """Learn from the feedback; users and items have an embedding of their own and attributes'."""
    known = feedback(prepared, fold, setting["below"])
    labels = prepared.summary["item_features"]
    genres = [i for i, label in enumerate(labels) if label.startswith("genre=")]
    # our indicators are centred over those who have the attribute: positive where it applies
    attributes_UF = _indicators(prepared.user_features_UF.numpy()[known.users_U])
    genres_NG = _indicators(prepared.item_features_NG.numpy()[:, genres])
    users = _with_own(attributes_UF)
    items = _with_own(genres_NG)
    model = LightFM(
        no_components=setting["components"],
        loss="warp",
        learning_rate=0.05,
        item_alpha=setting["penalty"],
        user_alpha=setting["penalty"],
        random_state=SEED,
    )
    weights = known.weights_UN.tocoo()
    rated = coo_matrix((np.ones_like(weights.data), (weights.row, weights.col)), weights.shape)
    model.fit(
        rated,
        users,
        items,
        sample_weight=weights,
        epochs=setting["epochs"],
        num_threads=1,
    )
    item_bias_N, item_ND = model.get_item_representations(items)
    n_attributes = attributes_UF.shape[1]
    own_UD = model.user_embeddings[n_attributes:]
    map_DD = _fold_in(known.weights_UN, own_UD, item_ND, max(prepared.shots))

    def score(support: Support) -> Floats:
        new_BF = _indicators(support.users_BF.numpy())
        own_BD = _mean(known.of_new_users(support), item_ND) @ map_DD
        users_BD = new_BF @ model.user_embeddings[:n_attributes] + own_BD
        scores_BN: Floats = users_BD @ item_ND.T + item_bias_N
        return scores_BN.astype(np.float32)

    return score


def _indicators(features: Floats) -> csr_matrix:
    return csr_matrix(features > 0, dtype=np.float32)


def _with_own(indicators: csr_matrix) -> csr_matrix:
    own = identity(indicators.shape[0], dtype=np.float32)
    return csr_matrix(hstack([indicators, own]))


def _mean(weights_BN: csr_matrix, item_ND: Floats) -> Floats:
    """Damped mean embedding of what was rated: ``[B, D]``, 0 of nothing."""
    total_B = np.asarray(weights_BN.sum(1)).ravel()
    mean_BD: Floats = diags(1 / (total_B + _DAMPING)) @ (weights_BN @ item_ND)
    return mean_BD.astype(np.float32)


def _fold_in(weights_UN: csr_matrix, own_UD: Floats, item_ND: Floats, most: int) -> Floats:
    """The map from :func:`_mean` of 1 to ``most`` random ratings to a user's own embedding."""
    rng = np.random.default_rng(SEED)
    rows = []
    for _ in range(_DRAWS):
        part = weights_UN.copy()
        size_U = part.getnnz(1)
        kept_U = np.minimum(rng.integers(1, most + 1, len(size_U)), size_U)
        order_R = np.lexsort((rng.random(part.nnz), np.repeat(np.arange(len(size_U)), size_U)))
        place_R = np.arange(part.nnz) - np.repeat(part.indptr[:-1], size_U)
        part.data[order_R[place_R >= np.repeat(kept_U, size_U)]] = 0
        rows.append(_mean(part, item_ND))
    means_RD, wanted_RD = np.vstack(rows), np.tile(own_UD, (_DRAWS, 1))
    gram_DD = means_RD.T @ means_RD
    gram_DD += 1e-3 * np.trace(gram_DD) / len(gram_DD) * np.eye(len(gram_DD), dtype=np.float32)
    map_DD: Floats = np.linalg.solve(gram_DD, means_RD.T @ wanted_RD)
    return map_DD


WARP = {
    "components": (16, 32, 64),
    "epochs": (5, 15, 40),
    "penalty": (1e-5, 1e-4, 1e-3),
    "below": BELOW,
}
PEERS = {"warp": Peer("LightFM WARP", "rectools-lightfm", False, fit_warp, WARP)}
