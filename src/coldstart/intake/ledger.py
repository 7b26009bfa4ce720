"""What an import changed or set aside, row by row in a file and summed up in words."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

HEAD = ("file", "row", "column", "value", "what", "content")
_LONG = 80  # characters of a value that a summary shows


@dataclass
class _Line:
    """All rows of a table with the same fate for the same reason."""

    rows: int
    example: str


@dataclass
class Ledger:
    """Takes notes; ``file`` is to be closed by who opened it."""

    file: TextIO
    rows: int = 0  # read, of the table at hand
    aside: int = 0  # of them
    _lines: dict[tuple[str, str, str, bool], _Line] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._writer = csv.writer(self.file, lineterminator="\n")
        self._writer.writerow(HEAD)

    def begin(self) -> None:
        """Another table."""
        self.rows = self.aside = 0

    def unreadable(self, label: str) -> Callable[[int, str, str], None]:
        """What takes rows that cannot be told into columns."""

        def note(row: int, reason: str, text: str) -> None:
            lost = max(1, len(text.splitlines()))  # rows that an open quote swallowed
            self.rows += lost
            self.aside += lost
            self._writer.writerow([label, row, "", "", f"set aside: {reason}", text])
            self._sum(label, "", f"row {reason}", lost, f"row {row}", aside=True)

        return note

    def keep(
        self,
        label: str,
        part: pd.DataFrame,
        wrong: NDArray[np.bool_],
        column: str,
        reason: str,
        *,
        personal: bool = False,
    ) -> None:
        """Set rows of a part aside, with all that they hold."""
        if not wrong.any():
            return
        rows = part[wrong]
        self.aside += len(rows)
        contents = rows.to_dict("records")
        for row, content in zip(rows.index, contents, strict=True):
            text = json.dumps(content, ensure_ascii=False)
            self._writer.writerow(
                [label, row, column, content[column], f"set aside: {reason}", text]
            )
        value = "not shown" if personal else repr(str(contents[0][column])[:_LONG])
        example = f"row {rows.index[0]}: {value}"
        self._sum(label, column, reason, len(rows), example, aside=True)

    def change(self, label: str, before: pd.Series, after: pd.Series, what: str) -> None:
        """Note single values that were written otherwise."""
        differs = (before != after).to_numpy(dtype=bool)
        if not differs.any():
            return
        column = str(before.name)
        for row, old, new in zip(
            before.index[differs], before[differs], after[differs], strict=True
        ):
            self._writer.writerow([label, row, column, old, f"changed to {new!r}: {what}", ""])
        old, new = str(before[differs].iloc[0])[:_LONG], str(after[differs].iloc[0])[:_LONG]
        example = f"row {before.index[differs][0]}: {old!r} to {new!r}"
        self._sum(label, column, what, int(differs.sum()), example, aside=False)

    def _sum(
        self, label: str, column: str, what: str, rows: int, example: str, *, aside: bool
    ) -> None:
        line = self._lines.setdefault((label, column, what, aside), _Line(0, example))
        line.rows += rows

    def summary(self) -> list[str]:
        """A line for each reason, with how many rows and the first of them."""
        lines = []
        for (label, column, what, aside), line in self._lines.items():
            where = f"{label}, column {column!r}" if column else label
            did = "set aside" if aside else "changed"
            rows = "1 row" if line.rows == 1 else f"{line.rows:,} rows"
            lines.append(f"{where}: {rows} {did}: {what} (first: {line.example})")
        return lines

    def worst(self, label: str) -> str:
        """The reason for which most rows of a table were set aside."""
        lines = {k: v for k, v in self._lines.items() if k[0] == label and k[3]}
        (_, column, what, _), line = max(lines.items(), key=lambda item: item[1].rows)
        where = f"column {column!r} " if column else ""
        return f"{where}{what} ({line.example})"
