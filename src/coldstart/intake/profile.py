"""What a dataset looked like: counts, schema and histogram, to compare the next delivery with.

``coldstart accept`` writes the profile of good data into ``expectations/accepted/NAME.json``; git
keeps it. A dataset without an accepted profile is checked without the relative expectations.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from coldstart.data.interests import strength_column
from coldstart.data.sources import Source
from coldstart.errors import DataError
from coldstart.params import DataParams

Profile = dict[str, Any]
LEVELS = 200
BINS = 20


def profile_of(source: Source, data: DataParams) -> Profile:
    """Counts, columns with their types, histograms and time span, as JSON values.

    The histogram is of ratings or, where none are read, of counts; ``events`` counts kinds.
    """
    ratings = source.ratings
    times = ratings["timestamp"].dropna() if source.has_timestamps else pd.Series(dtype="float64")
    return {
        "dataset": source.name,
        "digest": source.digest,
        "rows": {name: len(table) for name, table in source.tables.items()},
        "columns": {
            name: {str(c): _kind(table[c]) for c in table} for name, table in source.tables.items()
        },
        "users": int(ratings["user_id"].nunique()),
        "items": int(ratings["item_id"].nunique()),
        "histogram": _histogram(source, data),
        "events": _kinds(source, data),
        "oldest_timestamp": int(times.min()) if len(times) else None,
        "newest_timestamp": int(times.max()) if len(times) else None,
    }


def histogram(values: pd.Series, scale: tuple[float, float] | None = None) -> dict[str, int]:
    """Count per level; a level does not depend on the other values.

    On a scale there are ``LEVELS`` equal steps from its lowest to its highest value, so that stars
    and halves stay apart; without one, as for counts, two digits of every number.
    """
    finite = values[np.isfinite(values)]
    if scale is None:
        levels = finite.map(lambda value: float(f"{value:.1e}"))
    else:
        step = (scale[1] - scale[0]) / LEVELS
        levels = scale[0] + step * ((finite - scale[0]) / step).round()
    counts = levels.map(lambda level: f"{level:.6g}").value_counts()
    return {level: int(counts[level]) for level in sorted(counts.index, key=float)}


def distribution_shift(new: dict[str, int], old: dict[str, int]) -> float:
    """Total variation distance between two histograms, 0 (the same) to 1 (disjoint).

    Over at most ``BINS`` parts of about equal share of ``old``, the reference, and what lies below
    and above it: of two deliveries on a continuous scale hardly a value is the same.
    """
    levels = np.array(sorted(map(float, old)))
    counts = np.array([old[key] for key in sorted(old, key=float)], dtype="float64")
    before = np.concatenate([[0.0], counts.cumsum()])  # how much of the reference lies below

    def parts(of: dict[str, int]) -> dict[str, int]:
        found: dict[str, int] = {}
        for level, count in of.items():
            outside = len(levels) == 0 or not levels[0] <= float(level) <= levels[-1]
            below = before[np.searchsorted(levels, float(level))] / max(before[-1], 1)
            part = f"outside, {below:.0f}" if outside else str(int(BINS * below + 1e-9))
            found[part] = found.get(part, 0) + count
        return found

    return total_variation(parts(new), parts(old))


def total_variation(new: dict[str, int], old: dict[str, int]) -> float:
    """Half the sum of the differences between the shares of each key."""
    keys = sorted(set(new) | set(old))
    p, q = (np.array([h.get(key, 0) for key in keys], dtype="float64") for h in (new, old))
    return float(0.5 * np.abs(p / max(p.sum(), 1) - q / max(q.sum(), 1)).sum())


def schema_changes(new: Profile, old: Profile) -> list[str]:
    """Tables and columns of ``old`` that ``new`` lacks or that changed type; more is no fault."""
    changes = []
    for table, columns in old["columns"].items():
        if table not in new["columns"]:
            changes.append(f"table {table} is gone")
            continue
        for column, kind in columns.items():
            now = new["columns"][table].get(column)
            if now is None:
                changes.append(f"column {table}.{column} is gone")
            elif now != kind:
                changes.append(f"column {table}.{column} was {kind}, is {now}")
    return changes


def read_accepted(expectations: Path, name: str) -> Profile | None:
    """The profile of the last accepted data; None for a new dataset.

    Raises:
        DataError: the file is not what ``coldstart accept`` writes.
    """
    path = accepted_path(expectations, name)
    if not path.is_file():
        return None
    try:
        profile: Profile = json.loads(path.read_bytes())
        missing = {"digest", "rows", "columns", "histogram", "newest_timestamp"} - set(profile)
    except ValueError as error:
        raise DataError(
            f"{path}: is not JSON ({error}); write it with `coldstart accept`"
        ) from None
    if missing:
        raise DataError(f"{path}: lacks {sorted(missing)}; write it with `coldstart accept`")
    return profile


def accepted_path(expectations: Path, name: str) -> Path:
    """Where the accepted profile of a dataset lies."""
    return expectations / "accepted" / f"{name}.json"


def _histogram(source: Source, data: DataParams) -> dict[str, int]:
    if data.rated:
        return histogram(source.ratings["rating"], (data.scale.low, data.scale.high))
    column = strength_column(source)
    return {} if column is None else histogram(source.ratings[column])


def _kinds(source: Source, data: DataParams) -> dict[str, int]:
    if data.rated or "event" not in source.ratings:
        return {}
    counts = source.ratings["event"].value_counts().sort_index()
    return {str(kind): int(n) for kind, n in counts.items()}


def _kind(column: pd.Series) -> str:
    return "float" if column.dtype.kind == "f" else "token"
