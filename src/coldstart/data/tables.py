"""From a source to the canonical tables, the split and the episodes."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
import torch

from coldstart.data.features import fit_user_encoder
from coldstart.data.interests import interests
from coldstart.data.item_features import ItemColumns, item_features
from coldstart.data.prepared import ATTRIBUTE, Prepared, raw_attributes
from coldstart.data.sources import Source
from coldstart.data.splits import (
    NO_TIME,
    evaluation_episodes,
    rating_order,
    split_users,
    temporal_cut,
)
from coldstart.data.summary import check_enough, what_there_is, what_was_asked
from coldstart.errors import DataError
from coldstart.params import DataParams, PrepareParams
from coldstart.schema import ITEMS, RATINGS, USERS

Head = Literal["rating", "click", "ranking"]


def prepare_source(
    source: Source, data: DataParams, params: PrepareParams, *, seed: int, head: Head
) -> Prepared:
    """Build everything that ``prepare`` writes.

    Raises:
        DataError: the protocol needs timestamps that the dataset has not, or leaves no user to
            learn from or to evaluate.
        ParamsError: titles are to be read and the extra ``text`` is not installed.
    """
    needs_time = params.split == "temporal" or params.order == "chronological"
    if needs_time and not source.has_timestamps:
        raise DataError(
            f"{source.name}.inter: has no timestamps, which prepare.split: temporal and "
            "prepare.order: chronological need; choose random"
        )
    cut = None
    if params.split == "temporal":
        seconds = np.floor(source.ratings["timestamp"]).to_numpy(dtype="int64")
        cut = temporal_cut(seconds, params.temporal_quantile)
    users, items, ratings = _tables(source, data, head, cut)
    user_keys, item_keys = users["key"].tolist(), items["key"].tolist()
    times = ratings["timestamp"].to_numpy()
    first_seen = ratings.groupby("user")["timestamp"].min().to_numpy(dtype="int64")
    split = split_users(user_keys, first_seen, cut, params, seed)
    order = rating_order(ratings, user_keys, item_keys, seed)
    episodes = evaluation_episodes(ratings, order, split, cut, params)
    known = users if cut is None else users[first_seen <= cut]
    encoder = fit_user_encoder(raw_attributes(known), used="attributes" in params.features)
    past = ratings["item"] if cut is None else ratings["item"][times <= cut]
    known_items = np.isin(np.arange(len(items)), past)
    item_block, item_labels = item_features(
        source, item_keys, known_items, params.features, separator=data.seq_separator
    )
    prepared = Prepared(
        users=users,
        items=items,
        ratings=ratings,
        split=split,
        episodes=episodes,
        item_features_NG=torch.from_numpy(item_block),
        user_features_UF=torch.from_numpy(encoder.encode_table(raw_attributes(users))),
        encoder=encoder,
        summary=what_was_asked(source, data, params, cut, encoder, item_labels, head),
    )
    prepared.summary.update(what_there_is(source, data, prepared))
    check_enough(prepared, data, params)
    return prepared


def _tables(
    source: Source, data: DataParams, head: Head, cut: int | None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """users, items and ratings: sorted, without repeats, keys replaced by rows."""
    ratings = interests(source, data, cut)
    user_keys = _sorted_keys(ratings["user_id"])
    known_items = [ratings["item_id"]] + ([] if source.items is None else [source.items["item_id"]])
    item_keys = ["", *_sorted_keys(pd.concat(known_items))]
    table = pd.DataFrame(
        {
            "user": pd.Index(user_keys).get_indexer(pd.Index(ratings["user_id"])),
            "item": pd.Index(item_keys).get_indexer(pd.Index(ratings["item_id"])),
            "rating": ratings["rating"].to_numpy(dtype="float64"),
            "target": 0.0,
            "timestamp": np.floor(ratings["timestamp"]) if source.has_timestamps else NO_TIME,
        }
    ).sort_values(["user", "item"], ignore_index=True)
    as_it_is = head == "rating" or not data.rated  # a strength is the chance of a like already
    table["target"] = table["rating"] if as_it_is else table["rating"] >= data.scale.like
    users = pd.DataFrame({"user": range(len(user_keys)), "key": user_keys})
    users["n_ratings"] = np.bincount(table["user"], minlength=len(users))
    users = users.astype(USERS)
    if source.users is not None:
        rows = source.users.drop_duplicates("user_id").set_index("user_id").reindex(user_keys)
        for column in rows.columns:
            text = rows[column].dtype.kind != "f"
            users[ATTRIBUTE + column] = (
                rows[column].fillna("") if text else rows[column]
            ).to_numpy()
    return users, _item_table(source, item_keys), table.astype(RATINGS)


def _item_table(source: Source, keys: list[str]) -> pd.DataFrame:
    title_column = ItemColumns.of(source.items).title
    titles = pd.Series(keys)
    if source.items is not None and title_column is not None:
        known = source.items.drop_duplicates("item_id").set_index("item_id")[title_column]
        known = known[known != ""].reindex(keys)
        titles = known.where(known.notna(), keys).reset_index(drop=True)
    table = pd.DataFrame({"item": range(len(keys)), "key": keys, "title": titles})
    return table.astype(ITEMS)


def _sorted_keys(keys: pd.Series) -> list[str]:
    """Distinct keys, shorter ones first: whole numbers come in their natural order."""
    return sorted(keys.unique().tolist(), key=lambda key: (len(key), key))
