"""Interactions: from delivered rows to lines of ``NAME.inter``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

import numpy as np
import pandas as pd

from coldstart.errors import DataError
from coldstart.intake import values
from coldstart.intake.atomic import one_line, write_header, write_rows
from coldstart.intake.columns import INTERACTIONS, Roles
from coldstart.intake.facts import Facts
from coldstart.intake.ledger import Ledger
from coldstart.intake.tables import Table, refuse_open_quotes
from coldstart.intake.text_of import number_text

TYPES = {
    "user": "user_id:token",
    "item": "item_id:token",
    "rating": "rating:float",
    "event": "event:token",
    "count": "count:float",
    "timestamp": "timestamp:float",
}
NUMBERS = ("rating", "count")


@dataclass(frozen=True)
class Form:
    """How the values of one table are written."""

    roles: Roles
    decimal: str
    time: values.TimeForm | None
    pointless: frozenset[str]  # keys whose 12.0 means 12

    def describe(self) -> list[str]:
        """What is not plain about it."""
        said = [f"decimal sign {self.decimal!r}"] if self.decimal != "." else []
        said += [f"{role}s written as 12.0 are 12" for role in sorted(self.pointless)]
        if self.time is not None:
            said.append(
                "times count from a start of their own"
                if self.time.relative
                else f"times as {self.time.name}, UTC unless they say otherwise"
            )
        return said


def form_of(
    table: Table, roles: Roles, sample: pd.DataFrame, decimal: str | None, time: str | None
) -> Form:
    """Guess from the first rows of a table what is not given.

    Args:
        table: For messages.
        roles: Of its columns.
        sample: Its first rows.
        decimal: As a person gave it.
        time: Likewise: a unit, or a format as of ``strptime``.

    Raises:
        DataError: times are in no form that is known here, or in several.
    """
    if decimal is None:
        signs = [values.decimal_of(sample[roles[role]]) for role in NUMBERS if role in roles]
        decimal = "," if "," in signs else "."
    pointless = {role for role in ("user", "item") if values.are_pointless(sample[roles[role]])}
    if "timestamp" not in roles:
        return Form(roles, decimal, None, frozenset(pointless))
    if time is not None:
        form = values.TimeForm(time, None if time in values.UNITS else time)
        return Form(roles, decimal, form, frozenset(pointless))
    column = roles["timestamp"]
    forms = values.time_forms(sample[column])
    if len(forms) == 1:
        return Form(roles, decimal, forms[0], frozenset(pointless))
    given = sample[column][sample[column] != ""]
    row = f"row {given.index[0]}, column {column!r}: {given.iloc[0]!r}" if len(given) else ""
    if not forms:
        raise DataError(
            f"{table.label}, {row or f'column {column!r}: nothing'} is no time that is known; give "
            "--time-form (a unit, or a format such as '%d %b %Y'), or --timestamp none"
        )
    raise DataError(
        f"{table.label}, {row} may be {' or '.join(form.name for form in forms)}; give --time-form "
        f"{' or '.join(repr(form.pattern) for form in forms)}"
    )


def convert(
    table: Table, form: Form, out: TextIO, ledger: Ledger, facts: Facts, *, header: bool
) -> None:
    """Write every row that can be used, in the order of the table."""
    roles = [role for role in INTERACTIONS if role in form.roles]
    order = [role for role in TYPES if role in form.roles]
    if header:
        write_header(out, [TYPES[role] for role in order])
    for part in _parts(table, form, ledger):
        clean = _clean(table, form, part, ledger)
        facts.add(clean)
        for role in roles:
            if role in NUMBERS or role == "timestamp":
                clean[role] = number_text(clean[role].to_numpy()).to_numpy()
        write_rows(out, clean[order])


def _parts(table: Table, form: Form, ledger: Ledger) -> Iterator[pd.DataFrame]:
    columns = list(dict.fromkeys(form.roles.values()))
    for part in table.parts(columns, ledger.unreadable(table.label)):
        blank = (part == "").all(axis=1)
        kept = part[~blank] if blank.any() else part
        if len(kept):
            ledger.rows += len(kept)
            yield kept


def _clean(table: Table, form: Form, part: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """Rows with all that they need; numbers as numbers. The rest is set aside."""
    clean: dict[str, pd.Series] = {}
    given: dict[str, pd.Series] = {}
    wrong = np.zeros(len(part), dtype=bool)

    def check(role: str, bad: np.ndarray, reason: str) -> None:
        nonlocal wrong
        new = bad & ~wrong
        ledger.keep(table.label, part, new, form.roles[role], reason)
        wrong |= new

    for role, column in form.roles.items():
        raw = part[column]
        if role in ("user", "item"):
            refuse_open_quotes(table, raw)
            given[role] = values.without_points(raw) if role in form.pointless else raw
            clean[role] = values.keys(given[role])
            check(role, (clean[role] == "").to_numpy(dtype=bool), f"no {role}")
        elif role == "event":
            clean[role] = one_line(raw)
            check(role, clean[role].isin(values.MISSING).to_numpy(dtype=bool), "no kind of event")
        elif role in NUMBERS:
            found = values.numbers(raw, form.decimal)
            clean[role] = pd.Series(found, index=part.index)
            check(role, raw.isin(values.MISSING).to_numpy(dtype=bool), f"no {role}")
            check(role, ~np.isfinite(found), f"the {role} is no number with {form.decimal!r}")
        else:
            assert form.time is not None
            found = values.times(raw, form.time)
            clean[role] = pd.Series(found, index=part.index)
            check(role, raw.isin(values.MISSING).to_numpy(dtype=bool), "no time")
            check(role, ~np.isfinite(found), f"the time is not in {form.time.name}")
            check(role, values.out_of_time(found, form.time), "a time before 1970 or after 2100")
    for role, raw in given.items():
        ledger.change(table.label, raw[~wrong], clean[role][~wrong], "plain key")
    return pd.DataFrame(clean)[~wrong].reset_index(drop=True)
