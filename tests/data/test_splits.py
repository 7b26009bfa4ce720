"""Disjoint users, nested supports, a fixed query, and stability under growth."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldstart.data import splits
from coldstart.data.splits import (
    evaluation_episodes,
    key_hashes,
    rating_order,
    split_users,
    temporal_cut,
)
from coldstart.params import PrepareParams

ITEM_KEYS = ["", *(f"i{i}" for i in range(40))]


def params(**changes: object) -> PrepareParams:
    base: dict[str, object] = {
        "split": "random",
        "n_folds": 3,
        "folds": (0, 1, 2),
        "validation_share": 0.25,
        "temporal_quantile": 0.8,
        "order": "random",
        "min_ratings": 6,
        "query_size": 2,
        "shots": (0, 1, 2, 4),
        "features": (),
    }
    return PrepareParams(**{**base, **changes})  # type: ignore[arg-type]


def table(counts: list[int], seed: int) -> pd.DataFrame:
    """Ratings of ``len(counts)`` users; timestamps with many ties."""
    rng = np.random.default_rng(seed)
    rows = [
        (user, item, float(rng.integers(1, 6)), int(rng.integers(0, 12)))
        for user, n in enumerate(counts)
        for item in np.sort(rng.permutation(40)[:n]) + 1
    ]
    frame = pd.DataFrame(rows, columns=["user", "item", "rating", "timestamp"])
    return frame.assign(target=frame["rating"])


def prepare(ratings: pd.DataFrame, chosen: PrepareParams, n_users: int) -> tuple[pd.DataFrame, ...]:
    keys = [f"u{u}" for u in range(n_users)]
    times = ratings["timestamp"].to_numpy(dtype="int64")
    cut = temporal_cut(times, chosen.temporal_quantile) if chosen.split == "temporal" else None
    first = ratings.groupby("user")["timestamp"].min().to_numpy(dtype="int64")
    split = split_users(keys, first, cut, chosen, seed=0)
    order = rating_order(ratings, keys, ITEM_KEYS, seed=0)
    return split, evaluation_episodes(ratings, order, split, cut, chosen)


def test_hash_is_the_first_eight_bytes_of_blake2b() -> None:
    digest = hashlib.blake2b(b"fold/7/user 1", digest_size=8).digest()
    assert key_hashes(["user 1"], "fold", 7)[0] == int.from_bytes(digest, "little")


def test_cut_is_a_timestamp_that_occurs() -> None:
    assert temporal_cut(np.array([10, 20, 30, 40, 50]), 0.8) == 40
    assert temporal_cut(np.array([10, 20, 30, 40, 50]), 0.74) == 30


counts_of_users = st.lists(st.integers(1, 40), min_size=12, max_size=30)
orders = st.sampled_from(["random", "chronological"])


@settings(max_examples=25, deadline=None)
@given(counts=counts_of_users, seed=st.integers(0, 1000), order=orders)
def test_query_and_support_are_disjoint_and_complete(
    counts: list[int], seed: int, order: str
) -> None:
    ratings = table(counts, seed)
    split, episodes = prepare(ratings, params(order=order), len(counts))
    assert (split.groupby(["fold", "user"]).size() == 1).all()
    cold = split[split["role"] == "cold"]
    assert sorted(cold["user"]) == list(range(len(counts)))  # each user is cold in one fold
    evaluated = episodes.merge(split, on=["fold", "user"])
    assert (evaluated["role"] != "historical").all()
    enough = {u for u, n in enumerate(counts) if n >= 6}
    for (_, user), rows in episodes.groupby(["fold", "user"]):
        assert user in enough
        assert not rows["item"].duplicated().any()
        sizes = rows.groupby("part")["position"].agg(list).to_dict()
        assert sizes == {"query": [0, 1], "support": [0, 1, 2, 3]}
    expected = split[(split["role"] != "historical") & split["user"].isin(enough)]
    assert len(episodes) == 6 * len(expected)


@settings(max_examples=25, deadline=None)
@given(counts=counts_of_users, seed=st.integers(0, 1000))
def test_growth_moves_nobody_and_reorders_nothing(counts: list[int], seed: int) -> None:
    ratings = table([40] * len(counts), seed)
    kept = ratings.groupby("user").cumcount() < ratings["user"].map(dict(enumerate(counts)))
    split, before = prepare(ratings[kept], params(), len(counts))
    grown = pd.concat(
        [ratings, table([40] * 3, seed).assign(user=lambda t: t["user"] + len(counts))]
    )
    split_grown, _ = prepare(grown, params(), len(counts) + 3)
    both = split.merge(split_grown, on=["fold", "user"], suffixes=("", "_grown"))
    assert len(both) == len(split)
    assert (both["role"] == both["role_grown"]).all()
    keys = [f"u{u}" for u in range(len(counts))]
    ranks = rating_order(ratings, keys, ITEM_KEYS, seed=0)
    assert (rating_order(ratings[kept], keys, ITEM_KEYS, seed=0) == ranks[kept]).all()
    for (_, user), rows in before.groupby(["fold", "user"]):
        mine = (ratings["user"] == user) & kept
        by_rank = ratings.loc[mine, "item"].to_numpy()[np.argsort(ranks[mine.to_numpy()])]
        query_first = rows.sort_values(["part", "position"])["item"].tolist()
        assert query_first == by_rank[:6].tolist()


@settings(max_examples=25, deadline=None)
@given(counts=counts_of_users, seed=st.integers(0, 1000))
def test_chronological_support_is_the_earliest(counts: list[int], seed: int) -> None:
    ratings = table(counts, seed)
    _, episodes = prepare(ratings, params(order="chronological"), len(counts))
    joined = episodes.merge(ratings, on=["user", "item"])
    for _, rows in joined.groupby(["fold", "user"]):
        support = rows[rows["part"] == "support"].sort_values("position")["timestamp"]
        query = rows[rows["part"] == "query"]["timestamp"]
        assert support.is_monotonic_increasing
        assert support.max() <= query.min()


@settings(max_examples=25, deadline=None)
@given(counts=counts_of_users, seed=st.integers(0, 1000))
def test_temporal_cold_users_arrive_after_the_cut(counts: list[int], seed: int) -> None:
    ratings = table(counts, seed)
    newcomers = ratings["user"] >= len(counts) - 4
    ratings["timestamp"] += np.where(newcomers, 100, 0)
    chosen = params(split="temporal", folds=(0,), temporal_quantile=0.5)
    split, episodes = prepare(ratings, chosen, len(counts))
    cut = temporal_cut(ratings["timestamp"].to_numpy(), 0.5)
    first = ratings.groupby("user")["timestamp"].min()
    assert set(split.loc[split["role"] == "cold", "user"]) == set(first.index[first > cut])
    rows = episodes.merge(ratings, on=["user", "item"]).merge(split, on=["fold", "user"])
    assert (rows.loc[rows["role"] == "validation", "timestamp"] <= cut).all()


def test_ranks_are_those_of_splitmix64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Item n of a user whose hash is 0 has the n-th number of the generator with the seed 0.

    As published with it: https://prng.di.unimi.it/splitmix64.c
    """
    hashes = {"order": [0], "item": [0, 1, 2, 3]}

    def plain(keys: list[str], purpose: str, seed: int) -> np.ndarray:
        return np.array(hashes[purpose], dtype=np.uint64)

    monkeypatch.setattr(splits, "key_hashes", plain)
    ratings = pd.DataFrame({"user": [0, 0, 0], "item": [1, 2, 3]})
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert rating_order(ratings, ["u"], ["", "a", "b", "c"], seed=0).tolist() == expected


def test_permutations_look_uniform() -> None:
    ratings = pd.DataFrame(
        {"user": np.repeat(np.arange(3000), 5), "item": np.tile(range(1, 6), 3000)}
    )
    keys = [f"u{u}" for u in range(3000)]
    first = rating_order(ratings, keys, ITEM_KEYS, seed=0).reshape(3000, 5).argmin(1)
    counts = np.bincount(first, minlength=5)
    assert ((counts - 600) ** 2 / 600).sum() < 23.5  # chi-squared, 4 degrees: p = 0.0001


def test_validation_share_and_seed() -> None:
    keys = [f"u{u}" for u in range(4000)]
    zeros = np.zeros(4000, dtype="int64")
    split = split_users(keys, zeros, None, params(folds=(0,), n_folds=5), seed=0)
    share = split["role"].value_counts(normalize=True)
    assert share["cold"] == pytest.approx(0.2, abs=0.02)
    assert share["validation"] == pytest.approx(0.8 * 0.25, abs=0.02)
    other = split_users(keys, zeros, None, params(folds=(0,), n_folds=5), seed=1)
    assert (split["role"] != other["role"]).mean() > 0.3
