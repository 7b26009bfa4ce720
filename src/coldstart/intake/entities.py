"""What is known of items and users: ``NAME.item`` and ``NAME.user``."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TextIO

import pandas as pd

from coldstart.errors import DataError
from coldstart.intake import values
from coldstart.intake.atomic import one_line, write_header, write_rows
from coldstart.intake.columns import Roles
from coldstart.intake.ledger import Ledger
from coldstart.intake.tables import Table, TextTable, refuse_open_quotes
from coldstart.intake.text_of import LIST

_KEY = {"items": "item", "users": "user"}


def convert_items(
    table: Table,
    roles: Roles,
    sample: pd.DataFrame,
    out: TextIO,
    ledger: Ledger,
    known: Collection[str],
) -> tuple[list[str], int]:
    """Write title, year and genres of every item.

    Returns what was guessed, for a person, and how many of the ``known`` are described.

    Args:
        table: A row for each item.
        roles: Of its columns.
        sample: Its first rows.
        out: Where the atomic file goes.
        ledger: Takes notes.
        known: Keys of the items in the interactions.

    Raises:
        DataError: it says nothing of items, or of none in the interactions.
    """
    said = []
    separator = ""
    if "genres" in roles:
        separator = values.genre_separator(sample[roles["genres"]])
        said.append(_how_genres_are_written(table, separator))
    in_title = "title" in roles and "year" not in roles and _end_in_years(sample[roles["title"]])
    if in_title:
        said.append("the year is what stands in brackets after the title")
    names = {"item": "item_id:token", "title": "title:token_seq"}
    names |= {"year": "year:float", "genres": "genres:token_seq"}
    columns = [r for r in names if r in roles or (r == "year" and in_title)]
    if len(columns) == 1:
        raise DataError(
            f"{table.label}: has no title, year or genres; give --title, --year or --genres "
            f"COLUMN, or leave it out (columns: {', '.join(table.columns[:20])})"
        )
    write_header(out, [names[role] for role in columns])
    found = 0
    for part, keys in _new_rows(table, roles, "items", sample, ledger):
        clean = {"item": keys}
        if "title" in roles:
            clean["title"] = one_line(part[roles["title"]]).replace("nan", "")
        if "year" in roles:
            clean["year"] = values.years(part[roles["year"]])
        elif in_title:
            clean["year"] = values.title_year(clean["title"])
        if "genres" in roles:
            clean["genres"] = values.genres(one_line(part[roles["genres"]]), separator)
        write_rows(out, pd.DataFrame(clean)[columns])
        found += int(keys.isin(known).sum())
    _must_meet(table, roles["item"], sample, "item", known, found)
    return [*said, f"describes {found:,} of the {len(known):,} items of the interactions"], found


def _how_genres_are_written(table: Table, separator: str) -> str:
    if not separator:
        return "one genre for each item"
    lists = "lists, or " if separator == LIST and not isinstance(table, TextTable) else ""
    return f"genres are {lists}separated by {separator!r}"


def convert_users(
    table: Table,
    roles: Roles,
    sample: pd.DataFrame,
    out: TextIO,
    ledger: Ledger,
    known: Collection[str],
) -> tuple[list[str], int]:
    """Write every attribute of every user as it is; as :func:`convert_items`.

    Raises:
        DataError: it says nothing of users, or of none in the interactions.
    """
    attributes = [column for column in table.columns if column != roles["user"]]
    if not attributes:
        raise DataError(f"{table.label}: has no column but the user's key; leave it out")
    names = {column: _attribute_name(column) for column in attributes}
    if len(set(names.values())) < len(names):
        raise DataError(f"{table.label}: two columns have the same name: {', '.join(names)}")
    write_header(out, ["user_id:token", *(f"{name}:token" for name in names.values())])
    found = 0
    for part, keys in _new_rows(table, roles, "users", sample, ledger, attributes):
        clean = {"user": keys}
        for column in attributes:
            text = one_line(part[column])
            clean[column] = text.mask(text.isin(values.MISSING), "")
        write_rows(out, pd.DataFrame(clean))
        found += int(keys.isin(known).sum())
    _must_meet(table, roles["user"], sample, "user", known, found)
    said = [
        f"attributes {', '.join(names.values())}",
        f"describes {found:,} of the {len(known):,} users of the interactions",
    ]
    return said, found


def _attribute_name(column: str) -> str:
    name = re.sub(r"[\s:]+", "_", column.strip())
    return "user_id_2" if name == "user_id" else name


def _end_in_years(titles: pd.Series) -> bool:
    return bool((values.title_year(titles) != "").mean() > 0.5)


def _new_rows(
    table: Table,
    roles: Roles,
    kind: str,
    sample: pd.DataFrame,
    ledger: Ledger,
    more: Collection[str] = (),
) -> Iterator[tuple[pd.DataFrame, pd.Series]]:
    """The rows whose key is there and new, with the keys."""
    role = _KEY[kind]
    column, personal = roles[role], kind == "users"
    pointless = values.are_pointless(sample[column])
    seen: set[str] = set()
    columns = list(dict.fromkeys([*roles.values(), *more]))
    for part in table.parts(columns, ledger.unreadable(table.label)):
        part = part[(part != "").any(axis=1)]
        ledger.rows += len(part)
        refuse_open_quotes(table, part[column])
        given = values.without_points(part[column]) if pointless else part[column]
        keys = values.keys(given)
        empty = (keys == "").to_numpy(dtype=bool)
        ledger.keep(table.label, part, empty, column, f"no {role}", personal=personal)
        again = (keys.duplicated() | keys.isin(seen)).to_numpy(dtype=bool) & ~empty
        ledger.keep(
            table.label, part, again, column, f"the {role} was there before", personal=personal
        )
        good = ~(empty | again)
        seen.update(keys[good])
        if not personal:
            ledger.change(table.label, given[good], keys[good], "plain key")
        yield part[good], keys[good]


def _must_meet(
    table: Table, column: str, sample: pd.DataFrame, role: str, known: Collection[str], found: int
) -> None:
    if found == 0:
        example = (
            "" if role == "user" else f" ({sample[column].iloc[0]!r} against {next(iter(known))!r})"
        )
        raise DataError(
            f"{table.label}, column {column!r}: none of its keys is a {role} of the interactions"
            f"{example}; give --{role}s-key or another file"
        )
