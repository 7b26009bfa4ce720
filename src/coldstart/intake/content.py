"""Which column is what, and which table, where no names say it: by what the columns hold."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePath

import numpy as np
import pandas as pd

from coldstart.intake.values import decimal_of, is_time, numbers

MAX_EVENTS = 50  # kinds of events
_MAX_LEVELS = 101  # of a scale of ratings; whole numbers with more are counts
_UNIQUE = 0.9  # share of different values from which on a text is a title
_OF_USERS = re.compile(r"u?(sers?|customers?|members?|people)\b", re.IGNORECASE)


def interactions_by_content(wanted: Collection[str], sample: pd.DataFrame) -> dict[str, str]:
    """Role -> column: files without a header begin with user and item, as if by agreement."""
    found: dict[str, str] = {}
    keys = [role for role in ("user", "item") if role in wanted]
    for position, column in enumerate(sample.columns):
        role = keys[position] if position < len(keys) else _role(sample[column])
        if role == "event" and _describes(sample, column, list(found.values())[: len(keys)]):
            continue
        if role is not None and role in wanted and role not in found:
            found[role] = column
    return found


def _describes(sample: pd.DataFrame, column: str, keys: list[str]) -> bool:
    """Whether a column is the same in all rows of a user, or of an item: it says who or what."""
    return any(sample.groupby(key)[column].nunique().max() == 1 for key in keys)


def _role(values: pd.Series) -> str | None:
    values = values[values != ""]
    if not len(values):
        return None
    if is_time(values):
        return "timestamp"
    amounts = numbers(values, decimal_of(values))
    if np.isfinite(amounts).all():
        whole = bool((amounts == np.round(amounts)).all())
        return "count" if whole and len(np.unique(amounts)) > _MAX_LEVELS else "rating"
    return "event" if values.nunique() <= min(MAX_EVENTS, len(values) / 2) else None


def entities_by_content(wanted: Collection[str], sample: pd.DataFrame) -> dict[str, str]:
    """Role -> column: the key is first, a title is text that hardly repeats, genres are lists."""
    found: dict[str, str] = {}
    columns = list(sample.columns)
    for role in ("user", "item"):
        if role in wanted and columns:
            found[role] = columns.pop(0)
    for column in columns:
        values = sample[column][sample[column] != ""]
        if not len(values) or not _is_text(values):
            continue
        if values.nunique() > _UNIQUE * len(values):
            role = "title"
        else:
            role = "genres" if values.str.contains("|", regex=False).any() else ""
        if role in wanted and role not in found:
            found[role] = column
    return found


def kind_by_content(label: str, sample: pd.DataFrame) -> str:
    """interactions, items or users: the first key repeats, or titles are there, or neither."""
    if sample.iloc[:, 0].duplicated().any():
        return "interactions"
    if _OF_USERS.match(PurePath(label).name):
        return "users"
    titled = (
        _is_text(sample[c]) and sample[c].nunique() > _UNIQUE * len(sample)
        for c in sample.columns[1:]
    )
    return "items" if any(titled) else "users"


def _is_text(values: pd.Series) -> bool:
    return bool(np.isnan(numbers(values, ".")).all())
