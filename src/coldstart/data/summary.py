"""What ``prepare`` says of the data: how many of everything, what was left out, what is missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from coldstart.data.features import UserEncoder
from coldstart.data.item_features import ItemColumns, genre_separator
from coldstart.data.prepared import Prepared
from coldstart.data.sources import Source
from coldstart.errors import DataError
from coldstart.params import DataParams, PrepareParams
from coldstart.schema import ROLES


def what_was_asked(
    source: Source,
    data: DataParams,
    params: PrepareParams,
    cut: int | None,
    encoder: UserEncoder,
    item_labels: list[str],
    head: str,
) -> dict[str, Any]:
    """What the params say of the data, and which columns became features."""
    return {
        "dataset": source.name,
        "digest": source.digest,
        "head": head,
        "rated": data.rated,
        "min_rating": data.scale.low,
        "max_rating": data.scale.high,
        "like": data.scale.like,
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


def what_there_is(source: Source, data: DataParams, prepared: Prepared) -> dict[str, Any]:
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
            "cold_items": int(prepared.cold_items(fold).sum()),
        }
    return {
        "n_users": prepared.n_users,
        "n_items": prepared.n_items - 1,
        "n_ratings": n_pairs,
        "repeated_ratings_dropped": len(source.ratings) - n_pairs if data.rated else 0,
        "rows_added_up_or_left_out": 0 if data.rated else len(source.ratings) - n_pairs,
        "items_without_ratings": prepared.n_items - 1 - len(rated),
        "users_without_ratings_dropped": (
            0
            if source.users is None
            else len(set(source.users["user_id"]) - set(prepared.users["key"]))
        ),
        "per_fold": folds,
    }


def check_enough(prepared: Prepared, data: DataParams, params: PrepareParams) -> None:
    """Refuse data of which nothing can be learnt or nobody can be evaluated, with what helps.

    Raises:
        DataError: names what is missing, and the key of the params that decides it.
    """
    name = f"{prepared.summary['dataset']}.inter"
    highest = float(prepared.ratings["rating"].max())
    if highest < data.scale.like:
        raise DataError(
            f"{name}: nobody likes anything: the highest rating is {highest:g}, and data.like is "
            f"{data.like:g}"
            if data.rated
            else f"{name}: nobody likes anything: the strengths of a user's rows with an item add "
            f"up to {highest * data.enough:g} at most, and data.like is {data.enough:g}"
        )
    for fold in params.folds:
        counts = prepared.summary["per_fold"][str(fold)]
        for role in ROLES[1:]:
            if counts["users"][role] == 0:
                raise DataError(f"{name}: fold {fold} has no {role} user; {_more(prepared, role)}")
            if counts["users"][role] == counts["too_few_ratings"][role]:
                raise DataError(
                    f"{name}: fold {fold} has no {role} user with prepare.min_ratings = "
                    f"{params.min_ratings} ratings (of {counts['users'][role]} {role} users); "
                    "lower min_ratings and shots"
                )
        if counts["historical_ratings"] == 0:
            raise DataError(
                f"{name}: fold {fold} has no history: of {prepared.n_users} users nobody is left "
                "to learn from; lower prepare.validation_share or bring more users"
            )


def _more(prepared: Prepared, role: str) -> str:
    """How there would be a user of this role."""
    times = prepared.ratings["timestamp"]
    if prepared.summary["cut"] is None:
        key = {"cold": "lower prepare.n_folds", "validation": "raise prepare.validation_share"}
        return f"{key[role]}, or bring more users than {prepared.n_users}"
    if times.min() == times.max():
        return "all rows are at one time, which no cut divides: set prepare.split to random"
    if role == "validation":
        return f"raise prepare.validation_share, or bring more users than {prepared.n_users}"
    return "nobody's first row is after the cut: lower prepare.temporal_quantile, or split: random"
