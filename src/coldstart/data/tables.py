"""From a source to the canonical tables, the split and the episodes."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from coldstart.data.features import UserEncoder, fit_user_encoder
from coldstart.data.item_features import ItemColumns, genre_separator, item_features
from coldstart.data.prepared import Prepared, raw_attributes
from coldstart.data.sources import Source
from coldstart.data.splits import (
    NO_TIME,
    evaluation_episodes,
    rating_order,
    split_users,
    temporal_cut,
)
from coldstart.errors import DataError
from coldstart.params import DataParams, PrepareParams
from coldstart.schema import ATTRIBUTE, ITEMS, RATINGS, ROLES, USERS

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
    users, items, ratings = _tables(source, data, head)
    user_keys, item_keys = users["key"].tolist(), items["key"].tolist()
    times = ratings["timestamp"].to_numpy()
    cut = temporal_cut(times, params.temporal_quantile) if params.split == "temporal" else None
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
        summary=_summary(source, data, params, cut, encoder, item_labels, head),
    )
    prepared.summary.update(_counts(source, prepared))
    _check_enough(prepared, params)
    return prepared


def _tables(
    source: Source, data: DataParams, head: Head
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """users, items and ratings: sorted, without repeats, keys replaced by rows."""
    ratings = source.ratings
    if source.has_timestamps:
        ratings = ratings.sort_values("timestamp", kind="stable")
    ratings = ratings.drop_duplicates(["user_id", "item_id"], keep="last")
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
    table["target"] = table["rating"] if head == "rating" else table["rating"] >= data.like
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


def _summary(
    source: Source,
    data: DataParams,
    params: PrepareParams,
    cut: int | None,
    encoder: UserEncoder,
    item_labels: list[str],
    head: Head,
) -> dict[str, Any]:
    return {
        "dataset": source.name,
        "digest": source.digest,
        "head": head,
        "min_rating": data.min_rating,
        "max_rating": data.max_rating,
        "like": data.like,
        "split": params.split,
        "order": params.order,
        "folds": list(params.folds),
        "shots": list(params.shots),
        "query_size": params.query_size,
        "min_ratings": params.min_ratings,
        "cut": cut,
        "has_timestamps": source.has_timestamps,
        "genre_separator": _genre_separator(source, data),
        "item_features": item_labels,
        "user_features": encoder.labels,
        "user_columns": {column.name: column.kind for column in encoder.columns},
        "dropped_user_columns": encoder.dropped,
    }


def _genre_separator(source: Source, data: DataParams) -> str | None:
    column = ItemColumns.of(source.items).genres
    if source.items is None or column is None:
        return None
    return data.seq_separator or genre_separator(source.items[column])


def _counts(source: Source, prepared: Prepared) -> dict[str, Any]:
    """How many there are of everything, and how many were left out, with the reason."""
    n_pairs = len(prepared.ratings)
    rated = np.unique(prepared.ratings["item"])
    with_episode = prepared.episodes[["fold", "user"]].drop_duplicates()
    roles = prepared.split.merge(with_episode, how="left", indicator="evaluated")
    folds = {}
    for fold in prepared.folds:
        rows = roles[roles["fold"] == fold]
        history = prepared.history(fold)
        folds[str(fold)] = {
            "users": {role: int((rows["role"] == role).sum()) for role in ROLES},
            "too_few_ratings": {
                role: int(((rows["role"] == role) & (rows["evaluated"] == "left_only")).sum())
                for role in ROLES[1:]
            },
            "historical_ratings": len(history.users_R),
            "cold_items": prepared.n_items - 1 - len(np.unique(history.items_R.numpy())),
        }
    return {
        "n_users": prepared.n_users,
        "n_items": prepared.n_items - 1,
        "n_ratings": n_pairs,
        "repeated_ratings_dropped": len(source.ratings) - n_pairs,
        "items_without_ratings": prepared.n_items - 1 - len(rated),
        "users_without_ratings_dropped": (
            0
            if source.users is None
            else len(set(source.users["user_id"]) - set(prepared.users["key"]))
        ),
        "per_fold": folds,
    }


def _check_enough(prepared: Prepared, params: PrepareParams) -> None:
    for fold in params.folds:
        counts = prepared.summary["per_fold"][str(fold)]
        for role in ROLES[1:]:
            if counts["users"][role] == counts["too_few_ratings"][role]:
                raise DataError(
                    f"{prepared.summary['dataset']}.inter: fold {fold} has no {role} user with "
                    f"prepare.min_ratings = {params.min_ratings} ratings "
                    f"(of {counts['users'][role]} {role} users); lower min_ratings and shots"
                )
        if counts["historical_ratings"] == 0:
            raise DataError(f"{prepared.summary['dataset']}.inter: fold {fold} has no history")
