"""Import: tables as people have them -> a dataset of atomic files under ``data/``.

Everything is written under temporary names and moved into place by one rename, so an import that
fails or is interrupted changes nothing.
"""

from __future__ import annotations

import math
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from coldstart.data.sources import file_digests
from coldstart.errors import DataError
from coldstart.intake.advice import advice
from coldstart.intake.columns import Guess, kind_of, knows, roles_of
from coldstart.intake.entities import convert_items, convert_users
from coldstart.intake.facts import Facts
from coldstart.intake.interactions import convert, form_of
from coldstart.intake.ledger import Ledger
from coldstart.intake.tables import Table, open_table, sample_of
from coldstart.intake.typed_tables import FrameTable
from coldstart.intake.wishes import Wishes

_STEMS = ("ratings", "rating", "interactions", "events", "reviews", "data", "train", "u", "log")


@dataclass(frozen=True)
class Imported:
    """What an import made, guessed, and did."""

    folder: Path
    new: bool  # whether anything differs from what was there
    guesses: tuple[str, ...]
    notes: tuple[str, ...]  # what was changed and set aside, summed up
    report: Path  # the same by row
    rows: int
    users: int
    items: int
    params: dict[str, Any]  # dotted keys of params.yaml that the data asks for


@dataclass(frozen=True)
class _Delivery:
    interactions: tuple[Table, ...]
    items: Table | None
    users: Table | None


def import_files(
    files: Sequence[Path],
    *,
    items: Path | None = None,
    users: Path | None = None,
    name: str | None = None,
    root: Path = Path(),
    wishes: Wishes | None = None,
) -> Imported:
    """Turn files into the dataset ``root/data/NAME``.

    Args:
        files: Interactions; also tables of items and users, which are told apart by their columns.
            Several files of interactions are joined in this order.
        items: A table of items, where it is not clear.
        users: A table of users, likewise.
        name: Of the dataset; by default from the first file.
        root: Of the project.
        wishes: What is not to be guessed.

    Raises:
        DataError: it cannot go on; says where and what to do.
    """
    wishes = wishes or Wishes()
    delivery = _told_apart(files, items, users, wishes)
    return _import(delivery, name or _name_of(files[0]), root, wishes)


def import_frames(
    interactions: pd.DataFrame,
    *,
    items: pd.DataFrame | None = None,
    users: pd.DataFrame | None = None,
    name: str,
    root: Path = Path(),
    wishes: Wishes | None = None,
) -> Imported:
    """Turn data frames into the dataset ``root/data/NAME``; an index is not read.

    Raises:
        DataError: as :func:`import_files`.
    """
    delivery = _Delivery(
        (FrameTable(interactions, "interactions"),),
        None if items is None else FrameTable(items, "items"),
        None if users is None else FrameTable(users, "users"),
    )
    return _import(delivery, name, root, wishes or Wishes())


def _told_apart(
    files: Sequence[Path], items: Path | None, users: Path | None, wishes: Wishes
) -> _Delivery:
    found: dict[str, list[Table]] = {"interactions": [], "items": [], "users": []}
    for kind, path in (("items", items), ("users", users)):
        if path is not None:
            found[kind].append(open_table(path, wishes.reading, knows))
    for path in files:
        table: Table = open_table(path, wishes.reading, knows)
        told = kind_of(table, sample_of(table), wishes.columns, alone=len(files) == 1)
        if told is None:
            raise DataError(
                f"{path}: is it interactions, items or users? give --items {path}, "
                f"--users {path}, or leave it out (columns: {', '.join(table.columns[:20])})"
            )
        found[told].append(table)
    if not found["interactions"]:
        raise DataError(
            f"{', '.join(map(str, files))}: no file has both users and items; name that of the "
            "interactions, and the others by --items and --users"
        )
    for kind in ("items", "users"):
        if len(found[kind]) > 1:
            raise DataError(
                f"{' and '.join(t.label for t in found[kind])}: both describe {kind}; leave one out"
            )
    return _Delivery(
        tuple(found["interactions"]), *(next(iter(found[k]), None) for k in ("items", "users"))
    )


def _name_of(path: Path) -> str:
    stem = path.name.split(".")[0]
    if stem.lower() in _STEMS and path.absolute().parent.name:
        stem = path.absolute().parent.name
    return re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9._-]+", "-", stem).strip("-") or "data"


def _import(delivery: _Delivery, name: str, root: Path, wishes: Wishes) -> Imported:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise DataError(f"--name {name!r}: may hold letters, digits, '.', '_' and '-' only")
    (root / ".coldstart").mkdir(parents=True, exist_ok=True)
    report = root / ".coldstart" / "import" / f"{name}.csv"
    with tempfile.TemporaryDirectory(prefix="import-", dir=root / ".coldstart") as scratch:
        fresh = Path(scratch) / name
        fresh.mkdir()
        draft = Path(scratch) / "report.csv"
        facts = Facts()
        with draft.open("w", encoding="utf-8", newline="") as file:
            ledger = Ledger(file)
            guesses = _convert(delivery, fresh, ledger, facts, wishes)
        new = _place(fresh, root / "data" / name, Path(scratch), replace=wishes.replace)
        report.parent.mkdir(exist_ok=True)
        draft.replace(report)
    return Imported(
        folder=root / "data" / name,
        new=new,
        guesses=tuple(guesses),
        notes=tuple(ledger.summary()),
        report=report,
        rows=facts.rows,
        users=len(facts.users),
        items=len(facts.items),
        params=advice(name, facts),
    )


def _convert(
    delivery: _Delivery, folder: Path, ledger: Ledger, facts: Facts, wishes: Wishes
) -> list[str]:
    """Write all files of a dataset; returns the guesses in words."""
    said = dict(wishes.columns)
    guesses: list[str] = []
    roles: dict[str, str] = {}
    with (folder / f"{folder.name}.inter").open("w", encoding="utf-8", newline="") as out:
        for table in delivery.interactions:
            sample = sample_of(table)
            guess = roles_of("interactions", table, sample, said, {})
            if roles and set(guess.roles) != set(roles):
                raise DataError(
                    f"{table.label}: has {', '.join(guess.roles)}, but "
                    f"{delivery.interactions[0].label} has {', '.join(roles)}; leave one of the "
                    "files out, or say `none` of what is not in both, for instance --rating none"
                )
            form = form_of(table, guess.roles, sample, wishes.decimal, wishes.time)
            guesses += _in_words(table, guess, form.describe())
            ledger.begin()
            convert(table, form, out, ledger, facts, header=not roles)
            _check_aside(table, ledger, wishes.max_aside)
            roles = guess.roles
    if facts.rows == 0:
        raise DataError(f"{delivery.interactions[0].label}: has no rows")
    for kind, entities, key, suffix in (
        ("items", delivery.items, wishes.items_key, "item"),
        ("users", delivery.users, wishes.users_key, "user"),
    ):
        if entities is None:
            continue
        table = entities
        sample = sample_of(table)
        wanted = {r: c for r, c in said.items() if r in ("title", "year", "genres")}
        guess = roles_of(kind, table, sample, wanted | ({suffix: key} if key else {}), roles)
        convert_table = convert_items if kind == "items" else convert_users
        known = facts.items if kind == "items" else facts.users
        ledger.begin()
        with (folder / f"{folder.name}.{suffix}").open("w", encoding="utf-8", newline="") as out:
            more, found = convert_table(table, guess.roles, sample, out, ledger, known)
        facts.undescribed[kind] = 1 - found / len(known)
        _check_aside(table, ledger, wishes.max_aside)
        guesses += _in_words(table, guess, more)
    return guesses


def _in_words(table: Table, guess: Guess, more: Sequence[str]) -> list[str]:
    lines = [f"{table.label}: {table.note}"]
    lines += [f"  {role} is {column!r}, {guess.how[role]}" for role, column in guess.roles.items()]
    unused = [c for c in table.columns if c not in guess.roles.values()]
    if unused and "user" in guess.roles and "item" not in guess.roles:
        unused = []  # every column of a user is an attribute
    return (
        lines
        + [f"  {line}" for line in more]
        + ([f"  not used: {', '.join(unused)}"] if unused else [])
    )


def _check_aside(table: Table, ledger: Ledger, most: float) -> None:
    if ledger.rows and ledger.aside > most * ledger.rows:
        raise DataError(
            f"{table.label}: {ledger.aside:,} of {ledger.rows:,} rows cannot be used, most because:"
            f" {ledger.worst(table.label)}; correct that, or allow it by --max-aside "
            f"{math.ceil(100 * ledger.aside / ledger.rows) / 100}"
        )


def _place(fresh: Path, target: Path, scratch: Path, *, replace: bool) -> bool:
    """Move a dataset where it belongs; False if the same is there already."""
    if target.exists():
        if file_digests(target) == file_digests(fresh):
            return False
        if not replace:
            raise DataError(
                f"{target}: holds other data; give --replace to put this in its place, or another "
                "--name"
            )
        target.rename(scratch / "old")
    target.parent.mkdir(exist_ok=True)
    shutil.move(fresh, target)
    return True
