"""Cornac 3.0.1: biased matrix factorisation by SGD for ratings, RecVAE for lists.

Its matrix factorisation has no fold-in: a new user is served by fitting anew with the support among
the ratings; all new users of a call are added at once. A new user of RecVAE (Shenbin et al. 2020)
is a row for the encoder. Cornac evaluates on the training set after every epoch and scores with
dropout on; here its epochs run without the one and its network answers without the other.

Shapes: B users, N items, M items that the library knows.
"""

from __future__ import annotations

import numpy as np
import torch
from cornac.data import Dataset
from cornac.models import MF, RecVAE
from torch import Tensor
from torch.optim import Adam

from coldstart.data.episodes import Support
from coldstart.data.prepared import Prepared
from peer_libraries.adapter import SEED, Floats, Peer, Scorer, Setting, known_ratings, rated_history
from peer_libraries.feedback import BELOW, feedback

_MOST_ITEMS = 4000
"""Items that RecVAE knows, those with most feedback: its layers are as wide as the catalogue."""
_BATCH = 100


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


def fit_rec_vae(prepared: Prepared, fold: int, setting: Setting) -> Scorer:
    """A new user without anything that counts is left to the fallback: the encoder saw no such."""
    known = feedback(prepared, fold, setting["below"])
    count_N = known.weights_UN.getnnz(0)
    items_M = np.sort(np.argsort(-count_N, kind="stable")[: min(_MOST_ITEMS, (count_N > 0).sum())])
    weights = known.weights_UN[:, items_M].tocoo()
    cells = zip(weights.row.tolist(), weights.col.tolist(), weights.data.tolist(), strict=True)
    data = Dataset.from_uir(list(cells), seed=SEED)
    items_M = items_M[np.fromiter(data.iid_map, dtype=np.int64)]  # in the order of its item rows
    model = RecVAE(
        hidden_dim=setting["hidden"],
        latent_dim=setting["latent"],
        gamma=setting["gamma"],
        batch_size=_BATCH,
        n_epochs=0,
        seed=SEED,
        use_gpu=False,
    ).fit(data)
    network = model.recvae_model
    encoder, decoder = (
        Adam(part.parameters(), lr=setting["rate"]) for part in (network.encoder, network.decoder)
    )
    for _ in range(setting["epochs"]):  # as RecVAE.fit
        _run(model, data, [encoder], model.n_enc_epochs, setting["gamma"], dropout=0.5)
        network.update_prior()
        _run(model, data, [decoder], model.n_dec_epochs, setting["gamma"], dropout=0.0)
    network.eval()

    @torch.no_grad()
    def score(support: Support) -> Floats:
        rows_BM = torch.from_numpy(known.of_new_users(support)[:, items_M].toarray())
        found_BM: Tensor = network(rows_BM, calculate_loss=False, dropout_rate=0.0)
        scores_BN = np.full((support.n_users, known.weights_UN.shape[1]), np.nan, dtype=np.float32)
        scores_BN[:, items_M] = found_BM.masked_fill((rows_BM == 0).all(1, keepdim=True), torch.nan)
        return scores_BN

    return score


def _run(
    model: RecVAE, data: Dataset, optimizers: list[Adam], epochs: int, gamma: float, dropout: float
) -> None:
    network = model.recvae_model
    model.run(network, optimizers, data, _BATCH, epochs, None, gamma, dropout)


MATRIX_FACTORS = {
    "k": (40, 160, 320),
    "max_iter": (20, 30),
    "learning_rate": (0.01,),
    "lambda_reg": (0.003, 0.01, 0.05),
}
REC_VAE = {
    "hidden": (100,),
    "latent": (32, 64, 128),
    "gamma": (0.003, 0.01, 0.03),
    "rate": (0.002,),
    "epochs": (10, 20, 40),
    "below": BELOW,
}
PEERS = {
    "cornac_mf": Peer("Cornac MF", "cornac", True, fit_mf, MATRIX_FACTORS),
    "rec_vae": Peer("RecVAE", "cornac", False, fit_rec_vae, REC_VAE),
}
