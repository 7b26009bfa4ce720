"""What the rows of ``NAME.inter`` say a user thinks of an item: one number for each pair.

With a scale in ``params.yaml``, the latest rating. Without one, rows are what users did: each has
the strength of its kind of ``event`` (``data.events``) times its ``count`` (or ``label``, as click
logs have it), both 1 where there is no such column. Strengths of the same user and item add up, so
that an order may be worth ten views; the sum, as a share of what ``data.like`` asks for and at most
1, is what stands for the rating: 0.2 for a weak sign, 1 for a like.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from coldstart.data.sources import Source
from coldstart.errors import DataError
from coldstart.params import DataParams

PAIR = ["user_id", "item_id"]
STRENGTHS = ("count", "label")
"""Columns that say how often, or whether, something was done."""
WITHOUT = (
    "For data without ratings set data.min_rating, data.max_rating and data.like to null, head to "
    "ranking, goal to list and meta_train.negatives.number to 4"
)


def interests(source: Source, data: DataParams, cut: int | None) -> pd.DataFrame:
    """A row per pair: ``user_id, item_id, rating`` and, if there are any, ``timestamp``.

    Args:
        source: What was delivered.
        data: What its rows mean.
        cut: The last second of the past, with a temporal split. What a user of the past did again
            with the same item after it adds nothing, or the past would hold the future.

    Raises:
        DataError: see :func:`check_columns`.
    """
    check_columns(source, data)
    rows = source.ratings
    if data.rated:
        if source.has_timestamps:
            rows = rows.sort_values("timestamp", kind="stable")
        return rows.drop_duplicates(PAIR, keep="last")
    rows = rows.assign(strength=strengths(source, data))
    rows = rows[rows["strength"].notna()]
    if rows.empty:
        raise DataError(f"{source.name}.inter: data.events leaves every row out")
    if cut is not None:
        first = rows.groupby(PAIR)["timestamp"].transform("min")
        arrived = rows.groupby("user_id")["timestamp"].transform("min")
        rows = rows[(rows["timestamp"] <= cut) | (first > cut) | (arrived > cut)]
    sums = {"strength": "sum"} | ({"timestamp": "max"} if source.has_timestamps else {})
    pairs = rows.groupby(PAIR, sort=False, as_index=False).agg(sums)
    pairs["rating"] = (pairs.pop("strength") / data.enough).clip(0, 1)
    return pairs


def strengths(source: Source, data: DataParams) -> pd.Series:
    """The strength of every row of data without ratings; NaN for kinds that are left out."""
    column = strength_column(source)
    strength = pd.Series(1.0, index=source.ratings.index)
    if column is not None:
        strength = source.ratings[column].astype("float64")
    if data.events is not None:
        weights = {kind: np.nan if w is None else w for kind, w in data.events.items()}
        strength = strength * source.ratings["event"].map(weights).astype("float64")
    return strength


def strength_column(source: Source) -> str | None:
    """The column that says how often, if there is one."""
    return next((name for name in STRENGTHS if name in source.ratings), None)


def check_columns(source: Source, data: DataParams) -> None:
    """Hold the columns of ``NAME.inter`` against what ``data`` says of them.

    Raises:
        DataError: names the column, or the kinds of event that have no strength.
    """
    where = f"{source.name}.inter, line 1"
    found = set(source.ratings)
    if data.rated:
        if "rating" not in found:
            names = ", ".join(source.ratings.columns)
            raise DataError(f"{where}: column rating:float is missing; found {names}. {WITHOUT}")
        return
    if found.issuperset(STRENGTHS):
        raise DataError(f"{where}: has both {' and '.join(STRENGTHS)}; leave one of them out")
    column = strength_column(source)
    if column is not None and source.ratings[column].dtype.kind != "f":
        raise DataError(f"{where}: column {column!r} must have type float")
    if "event" in found:
        _check_kinds(source, data.events)
    elif data.events is not None:
        names = ", ".join(source.ratings.columns)
        raise DataError(
            f"{where}: column event:token is missing, which data.events speaks of; found {names}"
        )


def _check_kinds(source: Source, events: Mapping[str, float | None] | None) -> None:
    counts = source.ratings["event"].value_counts()
    unknown = {kind: int(n) for kind, n in counts.items() if kind not in (events or {})}
    if unknown:
        said = ", ".join(f"{kind} ({n:,} rows)" for kind, n in list(unknown.items())[:20])
        example = "{" + ", ".join(f"{kind}: 1.0" for kind in list(unknown)[:3]) + "}"
        raise DataError(
            f"{source.name}.inter: data.events has no strength for these kinds of event: {said}. "
            f"Give each one, as in {example}, 0 for what is no like, or null to leave it out"
        )
