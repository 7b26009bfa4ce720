"""Groups of cold users: by their attributes, their activity and their taste for popular items.

Segments are described, never optimised for; one with few users is shown but never gates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coldstart.data.features import CategoryColumn
from coldstart.data.prepared import Prepared
from coldstart.evaluation.metrics import Metric
from coldstart.evaluation.significance import (
    Floats,
    column_means,
    interval,
    over_shots,
    resampled_means,
    user_table,
)

MAX_LEVELS = 30
"""A category with more values is not a segment: its groups would be too small to mean anything."""
POPULAR_SHARE = 0.1
"""The popular items are this share of the catalogue, those with the most historical ratings."""

_OWN = ("user", "activity", "popular items")


def user_segments(prepared: Prepared, fold: int) -> pd.DataFrame:
    """Segments of the cold users of a fold: ``user`` and a text column per segment."""
    users = np.unique(prepared.eval_episodes(fold, "cold").users_B.numpy())
    table, attributes = prepared.users.loc[users], prepared.attributes.loc[users]
    columns: dict[str, list[str] | NDArray[Any]] = {"user": users}
    for column in prepared.encoder.columns:
        postcode = isinstance(column, CategoryColumn) and column.length is not None
        if postcode or len(column.labels) > MAX_LEVELS:
            continue
        names = [label.removeprefix(column.name).lstrip(" =") for label in column.labels]
        codes = column.codes(attributes[column.name])
        # code -1, a value without a column of its own, is the last
        title = f"attribute {column.name}" if column.name in _OWN else column.name
        columns[title] = np.array([*names, "other or unknown"], dtype=object)[codes]
    columns["activity"] = terciles(table["n_ratings"].to_numpy(dtype=float), "{} ratings")
    popular = 100 * _popular_share(prepared, fold, users)
    columns["popular items"] = terciles(popular, "{}% popular")
    return pd.DataFrame(columns)


def terciles(values: Floats, label: str) -> list[str]:
    """Three bands of about equal size, each named by its range."""
    whole = np.round(values).astype(int)
    edges = np.quantile(whole, (1 / 3, 2 / 3), method="higher")
    bands, index = np.unique(np.searchsorted(edges, whole, side="right"), return_inverse=True)
    names = []
    for band in range(len(bands)):
        inside = whole[index == band]
        low, high = inside.min(), inside.max()
        names.append(label.format(f"{low}–{high}" if low < high else f"{low}"))
    named: list[str] = np.array(names)[index].tolist()
    return named


def _popular_share(prepared: Prepared, fold: int, users: NDArray[np.int64]) -> Floats:
    counts = np.bincount(prepared.history(fold).items_R.numpy(), minlength=prepared.n_items)
    n_popular = max(1, round(POPULAR_SHARE * (prepared.n_items - 1)))
    popular = np.zeros(prepared.n_items, dtype=bool)
    popular[np.argsort(-counts, kind="stable")[:n_popular]] = True
    ratings = prepared.ratings[prepared.ratings["user"].isin(users)]
    share = pd.Series(popular[ratings["item"].to_numpy()]).groupby(ratings["user"].to_numpy())
    return share.mean().reindex(users).to_numpy(dtype=float)


def segment_table(
    rows: pd.DataFrame,
    segments: pd.DataFrame,
    *,
    of: Metric,
    reference: str,
    resamples: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """The metric of every method in every segment, and its gain over ``reference`` there.

    ``rows`` are per-user results; means over all their K are compared. A gain above 0 is better,
    whether the metric is an error or not; its interval is paired by user.
    """
    table = user_table(rows, [of.per_user_column]).droplevel(0, axis=1)
    groups = segments.drop_duplicates("user").set_index("user").reindex(table.index)
    inside = {
        (str(name), str(level)): (groups[name] == level).to_numpy()
        for name in groups.columns
        for level in _levels(groups[name])
    }
    cells = [(str(column[0]), int(column[1])) for column in table.columns]
    methods = list(dict.fromkeys(m for m, _ in cells))
    values = table.to_numpy(dtype=float)
    stacked = np.hstack([np.where(mask[:, None], values, np.nan) for mask in inside.values()])
    labels = [(f"{group}/{m}", k) for group in range(len(inside)) for m, k in cells]
    names = list(dict.fromkeys(name for name, _ in labels))
    samples = of.finish(resampled_means(stacked, resamples, seed))
    samples = over_shots(samples, labels, names)
    points = over_shots(of.finish(column_means(stacked)), labels, names)
    ref, sign = methods.index(reference), of.sign
    out = []
    for g, ((name, level), mask) in enumerate(inside.items()):
        block = slice(g * len(methods), (g + 1) * len(methods))
        gains = sign * (samples[:, block] - samples[:, block][:, [ref]])
        low, high = interval(gains, confidence)
        for m, method in enumerate(methods):
            value, best = points[block][m], points[block][ref]
            gain = {"gain": sign * (value - best), "gain_low": low[m], "gain_high": high[m]}
            key = {"segment": name, "level": level, "n_users": int(mask.sum()), "method": method}
            out.append({**key, "value": value, **gain})
    return pd.DataFrame(out)


def _levels(values: pd.Series) -> list[str]:
    """By the first number in the name where it has one, so that bands come in order."""
    levels = pd.Series(values.dropna().unique())
    order = pd.to_numeric(levels.str.extract(r"(\d+)")[0], errors="coerce").fillna(-1)
    first = levels.str.startswith("<")
    frame = pd.DataFrame({"level": levels, "order": order, "later": ~first})
    return frame.sort_values(["order", "later", "level"])["level"].tolist()
