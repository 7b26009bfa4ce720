"""From a source to what the suites in ``expectations/`` are run on: tables and parameters.

A column that a suite checks but no file holds is derived here: ``unknown_item`` is an item id that
the item table lacks, ``repeats_earlier`` is 1 where a user had the item before. So are two tables:
``rated_items`` and ``rated_users`` have a row for each item and user of the ratings. User ids are
replaced by the line where they first appear, so that no result can show one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd

from coldstart.data.interests import strength_column
from coldstart.data.sources import Source
from coldstart.errors import ParamsError
from coldstart.intake.profile import Profile, distribution_shift, schema_changes, total_variation
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
        "min_rating": data.scale.low,
        "max_rating": data.scale.high,
        "like": data.scale.like,
        "min_ratings": limits.min_ratings,
        "max_duplicate_share": limits.max_duplicate_share,
        "known_items": _rest(limits.max_unknown_items),
        "known_users": _rest(limits.max_unknown_users),
        "known_entities": _rest(limits.max_unknown_entities),
        "min_volume_ratio": limits.min_volume_ratio,
        "max_distribution_shift": limits.max_distribution_shift,
    }
    unmet = _unmet(source, data)
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
    tables = _tables(source, data)
    if accepted is not None:
        tables["accepted"] = _comparison(profile, accepted)
        if not _shifts(profile, accepted):
            unmet["distribution"] = "not both deliveries have ratings, counts or kinds of event"
    return Check(tables, parameters, unmet)


def _rest(share: float) -> float:
    """What must be known if so much may be unknown; a share that is met exactly passes."""
    return max(0.0, 1 - share - 1e-9)


def _unmet(source: Source, data: DataParams) -> dict[str, str]:
    """What this data has not, by the need of an expectation."""
    unmet: dict[str, str] = {}
    if source.has_timestamps:
        unmet["no_timestamps"] = "the rows have timestamps"
    else:
        unmet |= dict.fromkeys(("timestamps", "as_of", "max_age"), "the rows have no timestamps")
    if data.rated:
        unmet |= dict.fromkeys(("strengths", "events", "whole_rows"), "the rows are ratings")
    else:
        said = "data.min_rating is null: no ratings are read"
        unmet |= dict.fromkeys(("ratings", "rating_times", "no_timestamps"), said)
        if strength_column(source) is None:
            unmet["strengths"] = "there is no column that says how often"
        if "event" not in source.ratings:
            unmet["events"] = "there is no column that says what kind of event"
        if not source.has_timestamps:
            unmet["whole_rows"] = "without timestamps equal rows are different events"
    if not source.has_timestamps:
        unmet["rating_times"] = "the rows have no timestamps"
    if source.items is None:
        unmet["items"] = "there is no item table"
    return unmet


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


def _tables(source: Source, data: DataParams) -> dict[str, pd.DataFrame]:
    tables = {name: _with_lines(table) for name, table in source.tables.items()}
    ratings = tables["ratings"]
    ratings["repeats_earlier"] = ratings.duplicated(["user_id", "item_id"]).astype("float64")
    ratings["repeats_row"] = ratings.duplicated(list(source.ratings)).astype("float64")
    if not data.rated and (column := strength_column(source)) is not None:
        ratings["strength"] = ratings[column]
    if source.items is not None:
        tables["rated_items"] = _distinct(ratings, "item_id")
        _mark_unknown(tables["rated_items"], "item_id", source.items["item_id"], "unknown_item")
    user_ids = ratings["user_id"]
    ratings["user_id"] = _without_names(user_ids)
    if source.users is not None:
        unknown = ~user_ids.isin(set(source.users["user_id"]))
        ratings["unknown_user"] = ratings["user_id"].where(unknown)
        tables["rated_users"] = _distinct(ratings, "user_id")
    if source.link is not None and source.kg is not None:
        if source.items is not None:
            _mark_unknown(tables["link"], "item_id", source.items["item_id"], "unknown_item")
        entities = pd.concat([source.kg["head_id"], source.kg["tail_id"]])
        _mark_unknown(tables["link"], "entity_id", entities, "unknown_entity")
    return tables


def _without_names(user_ids: pd.Series) -> pd.Series:
    """Each user by the line where they first appear."""
    codes, _ = pd.factorize(user_ids)
    first_line = user_ids.index[~user_ids.duplicated() & user_ids.notna()]
    names = pd.Index([f"user of line {line}" for line in first_line], dtype="str")
    return pd.Series(names.take(codes), index=user_ids.index).where(codes >= 0)


def _distinct(ratings: pd.DataFrame, column: str) -> pd.DataFrame:
    """The first row of each user or item."""
    return ratings[~ratings[column].duplicated() & ratings[column].notna()].copy()


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
    table["distribution_shift"] = max(_shifts(profile, accepted), default=0.0)
    return table


def _shifts(profile: Profile, accepted: Profile) -> list[float]:
    """Of ratings or counts, and of kinds of event: what both deliveries have."""
    distances = {"histogram": distribution_shift, "events": total_variation}
    return [
        distance(profile[name], accepted[name])
        for name, distance in distances.items()
        if profile[name] and accepted.get(name)
    ]
