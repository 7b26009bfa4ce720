"""RecBole's atomic files: tab-separated UTF-8 with a ``name:type`` header.

``NAME.inter`` is required; ``NAME.user``, ``NAME.item``, ``NAME.kg`` and ``NAME.link`` are not, nor
are ``rating`` and ``timestamp`` in ``NAME.inter``, which may have ``event:token`` and
``count:float`` instead of ratings (:mod:`coldstart.data.interests`). Reading is strict: what cannot
be read as written is a :class:`~coldstart.errors.DataError` with file, line, column and value.
Whether the values make sense is for :mod:`coldstart.intake.quality`. Format:
https://recbole.io/docs/user_guide/data/atomic_files.html
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from coldstart.errors import DataError

SUFFIXES = ("inter", "user", "item", "kg", "link")
TYPES = ("token", "token_seq", "float", "float_seq")

REQUIRED = {
    "inter": {"user_id": "token", "item_id": "token"},
    "user": {"user_id": "token"},
    "item": {"item_id": "token"},
    "kg": {"head_id": "token", "relation_id": "token", "tail_id": "token"},
    "link": {"item_id": "token", "entity_id": "token"},
}
OPTIONAL = {"inter": {"rating": "float", "timestamp": "float"}}

TITLE_COLUMNS = ("movie_title", "title", "item_title", "book_title", "name", "item_name")
YEAR_COLUMNS = ("release_year", "year", "publication_year")
GENRE_COLUMNS = ("class", "genre", "genres", "categories", "category")


@dataclass(frozen=True)
class Source:
    """One dataset as its files say it; a column's name is without its type."""

    name: str
    ratings: pd.DataFrame  # user_id, item_id: str; if present, rating and timestamp: float64
    users: pd.DataFrame | None
    items: pd.DataFrame | None
    kg: pd.DataFrame | None
    link: pd.DataFrame | None
    digest: str

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables that the dataset has, by name."""
        optional = {"users": self.users, "items": self.items, "kg": self.kg, "link": self.link}
        present = {name: table for name, table in optional.items() if table is not None}
        return {"ratings": self.ratings, **present}

    @property
    def has_timestamps(self) -> bool:
        """Whether rows carry the time at which they were given."""
        return "timestamp" in self.ratings


def read_source(folder: Path, name: str) -> Source:
    """Read all tables of a dataset.

    Raises:
        DataError: a file is missing or cannot be read; names file, line, column and value.
    """
    if not (folder / f"{name}.inter").is_file():
        others = sorted(p.name for p in folder.glob("*.inter"))
        found = sorted(p.name for p in folder.glob("*"))[:8]
        held = f" (the folder holds: {', '.join(found)})" if found else ""
        said = instead(others, name) if others else f"{held}; get the data with `coldstart fetch`"
        raise DataError(f"{folder / name}.inter: not found{said}")
    tables = {
        suffix: read_table(folder / f"{name}.{suffix}", suffix)
        for suffix in SUFFIXES
        if (folder / f"{name}.{suffix}").is_file()
    }
    if ("kg" in tables) != ("link" in tables):
        present, absent = ("kg", "link") if "kg" in tables else ("link", "kg")
        raise DataError(f"{folder / name}.{absent}: not found, but {name}.{present} needs it")
    return Source(
        name=name,
        ratings=tables["inter"],
        users=tables.get("user"),
        items=tables.get("item"),
        kg=tables.get("kg"),
        link=tables.get("link"),
        digest=folder_digest(folder),
    )


def instead(found: Iterable[str], name: str) -> str:
    """Of a place without ``NAME.inter``: what else there is, and what to do about it."""
    names = [path.rsplit("/", 1)[-1] for path in found]
    if not names:
        return ", nor any other .inter"
    parts = [n for n in names if re.fullmatch(rf"{re.escape(name)}(\.|.?part).+\.inter", n)]
    if len(parts) > 1:
        return (
            f" but its parts {', '.join(parts)}; join them into one {name}.inter: the header once, "
            "then the rows of all"
        )
    return f" but {', '.join(names)}; set data.name accordingly"


def read_table(path: Path, suffix: str) -> pd.DataFrame:
    """Read one atomic file; tokens as ``str``, floats as ``float64`` (NaN where empty).

    Raises:
        DataError: names file, line, column and value.
    """
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        content += b"\n"  # the last line is a line without it too
    header = _check_text(path, content)
    types = _parse_header(path, header, suffix)
    _check_fields(path, content, len(types))
    frame = pd.read_csv(
        BytesIO(content),
        sep="\t",
        names=list(types),
        skiprows=1,
        dtype="str",
        quoting=csv.QUOTE_NONE,
        na_filter=False,
        skip_blank_lines=False,
    )
    for column, kind in types.items():
        if kind == "float":
            frame[column] = _to_float(path, frame[column], personal=suffix == "user")
    return frame


def file_digests(folder: Path) -> dict[str, str]:
    """MD5 of every file below a folder, by relative path in sorted order."""
    paths = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: _md5(paths[name].read_bytes()) for name in sorted(paths)}


def folder_digest(folder: Path) -> str:
    """MD5 of a folder's files, as DVC writes it into ``dvc.lock``: ``<32 hex digits>.dir``."""
    entries = [{"md5": md5, "relpath": name} for name, md5 in file_digests(folder).items()]
    return _md5(json.dumps(entries, sort_keys=True).encode()) + ".dir"


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _check_text(path: Path, content: bytes) -> str:
    """The header line of a UTF-8 text with LF line ends, also behind the last line."""
    if not content.strip():
        raise DataError(f"{path}: is empty")
    if content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}, line 1: starts with a byte order mark; save as UTF-8 without it")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: is not UTF-8 (byte 0x{content[error.start]:02x}); "
            "wrong encoding: save the file as UTF-8"
        ) from None
    if b"\r" in content:
        line = content.count(b"\n", 0, content.index(b"\r")) + 1
        raise DataError(f"{path}, line {line}: has a carriage return; save with LF line ends")
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise DataError(f"{path}, line {line}: has a NUL byte; the file is damaged")
    header, _, body = content.partition(b"\n")
    if not body:
        raise DataError(f"{path}: has a header but no rows")
    return header.decode("utf-8")


def _parse_header(path: Path, header: str, suffix: str) -> dict[str, str]:
    """Column name -> type."""
    types: dict[str, str] = {}
    for field in header.split("\t"):
        column, colon, kind = field.partition(":")
        if not colon or kind not in TYPES or not column:
            raise DataError(
                f"{path}, line 1: header field {field!r} is not NAME:TYPE separated by tabs "
                f"(TYPE is one of {', '.join(TYPES)})"
            )
        if column in types:
            raise DataError(f"{path}, line 1: column {column!r} appears twice")
        types[column] = kind
    for column, kind in REQUIRED[suffix].items():
        if column not in types:
            raise DataError(
                f"{path}, line 1: column {column}:{kind} is missing; found {', '.join(types)}"
            )
    for column, kind in {**REQUIRED[suffix], **OPTIONAL.get(suffix, {})}.items():
        if types.get(column, kind) != kind:
            raise DataError(
                f"{path}, line 1: column {column!r} has type {types[column]}, must be {kind}"
            )
    return types


def _check_fields(path: Path, content: bytes, expected: int) -> None:
    """Every line has the header's number of fields."""
    buffer = np.frombuffer(content, dtype=np.uint8)
    ends = np.flatnonzero(buffer == ord("\n"))
    tabs = np.flatnonzero(buffer == ord("\t"))
    fields = np.diff(np.searchsorted(tabs, ends), prepend=0) + 1
    wrong = np.flatnonzero(fields != expected)
    if not len(wrong):
        return
    line = int(wrong[0])
    start = int(ends[line - 1]) + 1
    text = content[start : int(ends[line])].decode("utf-8")
    other = next((s for s in (",", ";", "|", " ") if text.count(s) >= expected - 1), None)
    cause = f"; it seems to be separated by {other!r} instead of tabs" if other else ""
    if line == len(ends) - 1 and not other:
        cause = "; the file is truncated"
    raise DataError(
        f"{path}, line {line + 1}: has {fields[line]} fields separated by tabs, "
        f"expected {expected}{cause} ({len(wrong)} such lines)"
    )


def _to_float(path: Path, values: pd.Series, *, personal: bool) -> pd.Series:
    numbers = pd.to_numeric(values.where(values != "", "nan"), errors="coerce").astype("float64")
    wrong = numbers.isna() & (values != "") & (values.str.lower() != "nan")
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        value = "the value (not shown)" if personal else repr(values.iloc[row])
        raise DataError(
            f"{path}, line {row + 2}, column {values.name!r}: {value} is not a number "
            f"({int(wrong.sum())} such rows)"
        )
    return numbers
