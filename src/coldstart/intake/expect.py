"""From a source to what the suites in ``expectations/`` are run on: tables and parameters.

A column that a suite checks but no file holds is derived here: ``unknown_item`` is an item id that
the item table lacks, ``repeats_earlier`` is 1 where a user rated the item before. User ids are
replaced by the line where they first appear, so that no result can show one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd

from coldstart.data.sources import Source
from coldstart.errors import ParamsError
from coldstart.intake.profile import Profile, distribution_shift, schema_changes
from coldstart.params import DataParams, ValidateParams

FIRST_LINE = 2  # line 1 is the header
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Check:
    """One run of the suites; a suite runs if its table is here."""

    tables: dict[str, pd.DataFrame]
    parameters: dict[str, Any]
    unmet: dict[str, str] = field(default_factory=dict)  # need of an expectation -> why it is unmet
    personal: frozenset[str] = frozenset({"users"})  # tables whose values no result may show


def build_check(
    source: Source,
    profile: Profile,
    accepted: Profile | None,
    data: DataParams,
    limits: ValidateParams,
) -> Check:
    """Tables, parameters, and which expectations do not apply, with the reason."""
    parameters: dict[str, Any] = {
        "min_rating": data.min_rating,
        "max_rating": data.max_rating,
        "min_ratings": limits.min_ratings,
        "max_duplicate_share": limits.max_duplicate_share,
        "min_volume_ratio": limits.min_volume_ratio,
        "max_distribution_shift": limits.max_distribution_shift,
    }
    unmet: dict[str, str] = {}
    if source.has_timestamps:
        unmet["no_timestamps"] = "the ratings have timestamps"
    else:
        unmet |= dict.fromkeys(("timestamps", "as_of", "max_age"), "the ratings have no timestamps")
    for table in ("items", "users"):
        if table not in source.tables:
            unmet[table] = f"there is no {table[:-1]} table"
    today = reference_day(limits.as_of, accepted)
    if today is None:
        reason = "validate.as_of is null and no data was accepted yet"
        unmet |= {need: unmet.get(need, reason) for need in ("as_of", "max_age")}
    else:
        midnight = datetime.combine(today, datetime.min.time(), UTC) + DAY
        parameters["latest_timestamp"] = int(midnight.timestamp()) - 1
        if limits.max_age_days is None:
            unmet.setdefault("max_age", "validate.max_age_days is null")
        else:
            oldest = midnight - timedelta(days=limits.max_age_days)
            parameters["oldest_newest_timestamp"] = int(oldest.timestamp())
    tables = _tables(source)
    if accepted is not None:
        tables["accepted"] = _comparison(profile, accepted)
    return Check(tables, parameters, unmet)


def reference_day(as_of: str | None, accepted: Profile | None) -> date | None:
    """The day that counts as today, in UTC: as given, else that after the newest accepted rating.

    Raises:
        ParamsError: ``as_of`` is not a day.
    """
    if as_of is not None:
        try:
            return date.fromisoformat(as_of)
        except ValueError:
            raise ParamsError(
                f"params.yaml: validate.as_of: {as_of!r} is not a day, YYYY-MM-DD, or null"
            ) from None
    if accepted is None or accepted["newest_timestamp"] is None:
        return None
    return datetime.fromtimestamp(accepted["newest_timestamp"], UTC).date() + DAY


def _tables(source: Source) -> dict[str, pd.DataFrame]:
    tables = {name: _with_lines(table) for name, table in source.tables.items()}
    ratings = tables["ratings"]
    ratings["repeats_earlier"] = ratings.duplicated(["user_id", "item_id"]).astype("float64")
    user_ids = ratings["user_id"]
    codes, _ = pd.factorize(user_ids)
    first_line = ratings.index[~user_ids.duplicated() & user_ids.notna()]
    names = pd.Index([f"user of line {line}" for line in first_line], dtype="str")
    ratings["user_id"] = pd.Series(names.take(codes), index=ratings.index).where(codes >= 0)
    if source.users is not None:
        unknown = ~user_ids.isin(set(source.users["user_id"]))
        ratings["unknown_user"] = ratings["user_id"].where(unknown)
    if source.items is not None:
        _mark_unknown(ratings, "item_id", source.items["item_id"], "unknown_item")
    if source.link is not None and source.kg is not None:
        if source.items is not None:
            _mark_unknown(tables["link"], "item_id", source.items["item_id"], "unknown_item")
        entities = pd.concat([source.kg["head_id"], source.kg["tail_id"]])
        _mark_unknown(tables["link"], "entity_id", entities, "unknown_entity")
    return tables


def _with_lines(table: pd.DataFrame) -> pd.DataFrame:
    """A copy with line numbers as index and nulls for empty tokens."""
    lines = pd.RangeIndex(FIRST_LINE, FIRST_LINE + len(table), name="line")
    copy = table.set_axis(lines, axis=0)
    for column in copy.columns:
        if copy[column].dtype.kind != "f":
            copy[column] = copy[column].where(copy[column] != "")
    return copy


def _mark_unknown(table: pd.DataFrame, column: str, known: pd.Series, mark: str) -> None:
    table[mark] = table[column].where(~table[column].isin(set(known)))


def _comparison(profile: Profile, accepted: Profile) -> pd.DataFrame:
    """One row per schema change (at least one row), with the ratios repeated."""
    changes = schema_changes(profile, accepted)
    table = pd.DataFrame(
        {"changed_schema": pd.Series(changes, dtype="str").reindex(range(max(len(changes), 1)))}
    )
    table.index.name = "change"
    table["volume_ratio"] = profile["rows"]["ratings"] / max(accepted["rows"]["ratings"], 1)
    table["distribution_shift"] = distribution_shift(profile["histogram"], accepted["histogram"])
    return table
