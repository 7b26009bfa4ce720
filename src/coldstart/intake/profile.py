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

from coldstart.data.sources import Source
from coldstart.errors import DataError

Profile = dict[str, Any]
MAX_VALUES = 50
BINS = 20


def profile_of(source: Source) -> Profile:
    """Counts, columns with their types, rating histogram and time span, as JSON values."""
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
        "histogram": histogram(ratings["rating"]),
        "oldest_timestamp": int(times.min()) if len(times) else None,
        "newest_timestamp": int(times.max()) if len(times) else None,
    }


def histogram(ratings: pd.Series) -> dict[str, int]:
    """Count per value, or per lower edge of 20 equal bins where there are more than 50 values."""
    values = ratings[np.isfinite(ratings)]
    if values.nunique() > MAX_VALUES:
        low, high = float(values.min()), float(values.max())
        width = (high - low) / BINS
        values = low + width * np.floor((values - low) / width).clip(upper=BINS - 1)
    counts = values.value_counts().sort_index()
    return {f"{value:.6g}": int(count) for value, count in counts.items()}


def distribution_shift(new: dict[str, int], old: dict[str, int]) -> float:
    """Total variation distance between two histograms, 0 (the same) to 1 (disjoint)."""
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


def _kind(column: pd.Series) -> str:
    return "float" if column.dtype.kind == "f" else "token"
