"""Who is cold, who validates, and which of a user's ratings are support and which query.

Every choice comes from a stable hash of keys and the seed, not from a random stream: data that
grows never moves a user to another fold or role, and never reorders the ratings of a user.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coldstart.params import PrepareParams
from coldstart.schema import EPISODES, SPLIT

UInt64s = NDArray[np.uint64]
NO_TIME = -1


def key_hashes(keys: Iterable[str], purpose: str, seed: int) -> UInt64s:
    """64 bits per key, by BLAKE2b; ``purpose`` separates independent choices."""
    salt = f"{purpose}/{seed}/".encode()
    digests = (hashlib.blake2b(salt + key.encode(), digest_size=8).digest() for key in keys)
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def temporal_cut(timestamps: NDArray[np.int64], quantile: float) -> int:
    """The last second that is still history: a quantile of all timestamps that occurs in them."""
    return int(np.quantile(timestamps, quantile, method="lower"))


def split_users(
    keys: list[str],
    first_seen_U: NDArray[np.int64],
    cut: int | None,
    params: PrepareParams,
    seed: int,
) -> pd.DataFrame:
    """The role of every user in every fold, with the columns of ``schema.SPLIT``.

    Random: cold in fold f are the users whose hash is f modulo the number of folds. Temporal: cold
    are those first seen after ``cut``. Of the others, ``validation_share`` are validation users, by
    another hash, which depends on the fold.
    """
    fold_U = key_hashes(keys, "fold", seed) % np.uint64(params.n_folds)
    limit = np.uint64(int(params.validation_share * 2**64))
    parts = []
    for fold in params.folds:
        validation_U = key_hashes(keys, f"validation/{fold}", seed) < limit
        cold_U = first_seen_U > cut if cut is not None else fold_U == fold
        role_U = np.where(cold_U, "cold", np.where(validation_U, "validation", "historical"))
        parts.append(pd.DataFrame({"fold": fold, "user": np.arange(len(keys)), "role": role_U}))
    return pd.concat(parts, ignore_index=True).astype(SPLIT)


def rating_order(
    ratings: pd.DataFrame, user_keys: list[str], item_keys: list[str], seed: int
) -> UInt64s:
    """A random-looking 64-bit rank of each rating: its user's fixed permutation.

    It mixes a hash of the user's key with one of the item's (the finaliser of SplitMix64, Steele et
    al. 2014), so another rating of the user never changes the order of the ones before it.
    """
    user_R = key_hashes(user_keys, "order", seed)[ratings["user"].to_numpy()]
    item_R = key_hashes(item_keys, "item", seed)[ratings["item"].to_numpy()]
    mixed = user_R ^ (item_R * np.uint64(0x9E3779B97F4A7C15))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    ranks: UInt64s = mixed ^ (mixed >> np.uint64(31))
    return ranks


def evaluation_episodes(
    ratings: pd.DataFrame,
    order_R: UInt64s,
    split: pd.DataFrame,
    cut: int | None,
    params: PrepareParams,
) -> pd.DataFrame:
    """Fixed query and nested support pool of every cold and validation user with enough ratings.

    Of a user's permutation, the first ``query_size`` ratings are the query and the next
    ``max(shots)`` the support pool. With ``order: chronological`` the pool is the user's earliest
    ratings, and the query the first of the permutation of those that follow. In the temporal split
    a validation user has only ratings up to ``cut``.
    """
    table = ratings.assign(order=order_R)
    parts = []
    for fold, roles in split.groupby("fold", sort=True):
        evaluated = roles.loc[roles["role"] != "historical", ["user", "role"]]
        rows = table.merge(evaluated, on="user", how="inner")
        if cut is not None:
            rows = rows[(rows["role"] == "cold") | (rows["timestamp"] <= cut)]
        count = rows.groupby("user")["item"].transform("size")
        parts.append(_query_and_pool(rows[count >= params.min_ratings], params).assign(fold=fold))
    frame = pd.concat(parts, ignore_index=True)
    frame = frame.sort_values(["fold", "user", "part", "position"], ignore_index=True)
    return frame[list(EPISODES)].astype(EPISODES)


def _query_and_pool(rows: pd.DataFrame, params: PrepareParams) -> pd.DataFrame:
    n_query, n_pool = params.query_size, params.shots[-1]
    permuted = rows.sort_values(["user", "order"], kind="stable")
    if params.order == "random":
        query = _first(permuted, n_query)
        pool = _first(permuted.drop(query.index), n_pool)
    else:
        pool = _first(rows.sort_values(["user", "timestamp", "order"], kind="stable"), n_pool)
        query = _first(permuted.drop(pool.index), n_query)
    return pd.concat([query.assign(part="query"), pool.assign(part="support")])


def _first(rows: pd.DataFrame, n: int) -> pd.DataFrame:
    position = rows.groupby("user").cumcount()
    return rows.assign(position=position)[position < n]
