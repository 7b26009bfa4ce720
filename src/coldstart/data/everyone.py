"""What a product is learnt from: every user and every rating, the newest included.

A proof is learnt from historical users and, in a temporal split, from the past. Who is served
deserves what all others said. Validation users are among them, so nobody is left to choose by: what
they chose for the proof is taken over, and ratings are measured as they are there.

Features of items are those of ``prepare``: they read no rating, and fit new items too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from coldstart.data.episodes import History
from coldstart.data.features import NOT_USED, UserEncoder, fit_user_encoder
from coldstart.data.prepared import Prepared
from coldstart.data.splits import key_hashes


class Everyone(NamedTuple):
    """All ratings, and how attributes of users are encoded in them."""

    history: History
    encoder: UserEncoder
    known_U: Tensor  # int64, ascending: marks of the users with a rating


def everyone(prepared: Prepared, fold: int) -> Everyone:
    """Gather it; the encoder is fitted on everybody, also after a temporal cut.

    Ratings are in the unit of ``fold``: what validation users chose for its proof was chosen in it.
    """
    used = NOT_USED not in prepared.encoder.dropped.values()
    encoder = fit_user_encoder(prepared.attributes, used=used)
    features_UF = torch.from_numpy(encoder.encode_table(prepared.attributes))
    history = prepared.as_history(prepared.ratings, fold)._replace(user_features_UF=features_UF)
    keys = prepared.users["key"].astype("str").to_numpy()[np.unique(history.users_R.numpy())]
    return Everyone(history, encoder, marks(keys.tolist()).sort()[0])


def marks(keys: list[str]) -> Tensor:
    """Hashes by which a version remembers whom it learnt from: int64 ``[U]``.

    Enough to tell who is new to it, without a list of ids beside every model.
    """
    return torch.from_numpy(key_hashes(keys, "learnt", 0).astype("int64"))
