"""In the temporal split, what is prepared of the past does not change with the future."""

from __future__ import annotations

import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from coldstart.data import tables
from coldstart.data.item_features import item_features
from coldstart.data.prepared import Prepared
from coldstart.data.sources import Source, read_source
from coldstart.data.spare import spare_episodes
from coldstart.params import DataParams, PrepareParams

NEW_ITEMS = [f"i{i}" for i in range(50, 60)]


def letters(titles: list[str]) -> np.ndarray:
    """Stands for a language model: a vector that depends on the text."""
    seeds = [zlib.crc32(title.encode()) for title in titles]
    return np.stack([np.random.default_rng(s).normal(size=8) for s in seeds]).astype(np.float32)


@pytest.fixture
def past(
    tiny_source: Path,
    data_params: DataParams,
    prepare_params: PrepareParams,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Prepared, Prepared]:
    """``tiny`` with ten items that nobody rated before the cut, and with another future."""
    monkeypatch.setattr(tables, "item_features", partial(item_features, encode=letters))
    chosen = {"split": "temporal", "folds": (0,), "features": ("attributes", "title")}
    params = prepare_params.model_copy(update=chosen)
    source = read_source(tiny_source, "tiny")

    def made(source: Source) -> Prepared:
        return tables.prepare_source(source, data_params, params, seed=0, head="rating")

    table = source.ratings
    early = table["timestamp"] <= table["timestamp"].quantile(0.9)  # well after the cut
    rest = table[~(early & table["item_id"].isin(NEW_ITEMS))].reset_index(drop=True)
    source = replace(source, ratings=rest)
    now = made(source)
    assert table[early]["timestamp"].max() > now.summary["cut"]
    return now, made(_another_future(source, int(now.summary["cut"])))


def _another_future(source: Source, cut: int) -> Source:
    """The same past: other ratings after the cut, by people and of items with other names."""
    assert source.users is not None
    assert source.items is not None
    table = source.ratings
    first = table.groupby("user_id")["timestamp"].min()
    new = source.users["user_id"].map(first) > cut
    assert new.sum() > 5
    turned = table["rating"].where(table["timestamp"] <= cut, 6 - table["rating"])
    users, items = source.users, source.items
    return replace(
        source,
        ratings=table.assign(rating=turned),
        users=users.assign(
            age=users["age"].where(~new, "99"),
            gender=users["gender"].where(~new, "X"),
        ),
        items=items.assign(
            movie_title=items["movie_title"].where(
                ~items["item_id"].isin(NEW_ITEMS), "Another " + items["item_id"]
            )
        ),
    )


def test_the_cut_and_the_roles_stay(past: tuple[Prepared, Prepared]) -> None:
    now, other = past
    assert now.summary["cut"] == other.summary["cut"]
    pd.testing.assert_frame_equal(now.split, other.split)


def test_users_are_encoded_by_those_of_the_past(past: tuple[Prepared, Prepared]) -> None:
    now, other = past
    assert now.encoder == other.encoder
    cold = now.role_users(0, "cold")
    warm = np.setdiff1d(np.arange(now.n_users), cold)
    assert torch.equal(now.user_features_UF[warm], other.user_features_UF[warm])
    assert not torch.equal(now.user_features_UF[cold], other.user_features_UF[cold])


def test_titles_are_reduced_by_those_of_the_past(past: tuple[Prepared, Prepared]) -> None:
    now, other = past
    new_N = torch.tensor(now.items["key"].isin(NEW_ITEMS).tolist())
    assert new_N.sum() == len(NEW_ITEMS)
    assert now.item_features_NG.shape[1] > 2
    assert torch.equal(now.item_features_NG[~new_N], other.item_features_NG[~new_N])
    assert not torch.equal(now.item_features_NG[new_N], other.item_features_NG[new_N])


def test_history_and_spare_ratings_are_of_the_past(past: tuple[Prepared, Prepared]) -> None:
    now, other = past
    for name, value in now.history(0)._asdict().items():
        if name.endswith("_R"):
            assert torch.equal(value, getattr(other.history(0), name)), name
    mine, theirs = spare_episodes(now, 0), spare_episodes(other, 0)
    assert torch.equal(mine.targets_BQ, theirs.targets_BQ)
    assert torch.equal(mine.support.targets_BS, theirs.support.targets_BS)


def test_the_cut_itself_is_past(
    tiny_source: Path,
    data_params: DataParams,
    prepare_params: PrepareParams,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An item rated in the last second of history is known, one rated in the next is not."""
    source = read_source(tiny_source, "tiny")
    table = source.ratings.assign(timestamp=np.arange(float(len(source.ratings))))
    last = int(0.8 * (len(table) - 1))
    table.loc[[last, last + 1], "item_id"] = ["just in time", "too late"]
    known: dict[str, bool] = {}

    def spy(of: Source, keys: list[str], known_N: np.ndarray, *rest: Any, **more: Any) -> Any:
        known.update(zip(keys, known_N.tolist(), strict=True))
        return item_features(of, keys, known_N, *rest, **more)

    monkeypatch.setattr(tables, "item_features", spy)
    params = prepare_params.model_copy(update={"split": "temporal", "folds": (0,)})
    made = tables.prepare_source(
        replace(source, ratings=table), data_params, params, seed=0, head="rating"
    )
    assert made.summary["cut"] == last
    assert (known["just in time"], known["too late"]) == (True, False)
