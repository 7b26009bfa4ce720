"""Tables as they are delivered, read in parts: everything is text, and a row knows its number.

A part is a data frame of ``str`` columns, ``""`` where there is nothing, indexed by the number of
the row: the first line of a text is row 1, header or not, and so is the first row of a table
without lines.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv

from coldstart.errors import DataError
from coldstart.intake.dialect import Dialect, dialect_of
from coldstart.intake.encoding import encoding_of
from coldstart.intake.json_lines import JsonTable
from coldstart.intake.streams import Recoded, opened
from coldstart.intake.typed_tables import ParquetTable
from coldstart.intake.wishes import Reading

BLOCK = 16 << 20  # bytes of a part of a text; no row may be longer
SAMPLE = 20_000  # rows that guesses are made from
START = 1 << 18  # bytes that the dialect is guessed from
_SHORT = "\x1f"  # what a separator of several characters becomes: pyarrow takes one

Unreadable = Callable[[int, str, str], None]
"""Takes number, reason and text of a row that is none."""


class Table(Protocol):
    """A table that is read in parts."""

    @property
    def label(self) -> str:
        """What messages call it."""

    @property
    def note(self) -> str:
        """How it is written, for a person."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns."""

    @property
    def named(self) -> bool:
        """Whether the names are its own."""

    def parts(self, columns: Sequence[str], unreadable: Unreadable) -> Iterator[pd.DataFrame]:
        """All rows in order."""


def open_table(path: Path, reading: Reading, knows: Callable[[str], bool]) -> Table:
    """Find out what a file is, by its content.

    Raises:
        DataError: it is missing, empty, damaged, or nothing that is known here.
    """
    with opened(path) as content:
        start = content.read(64)
    if start.startswith(b"PAR1"):
        return ParquetTable(path)
    encoding = encoding_of(path, reading.encoding)
    with opened(path) as content, io.TextIOWrapper(content, encoding=encoding, newline="") as text:
        head = text.read(START)
        more = text.read(1) != ""
    if not head.strip():
        raise DataError(f"{path}: is empty")
    if head.lstrip()[0] in "{[":
        return JsonTable(path, encoding)
    if more and max(head.rfind("\n"), head.rfind("\r")) > 0:
        head = head[: max(head.rfind("\n"), head.rfind("\r")) + 1]
    dialect = dialect_of(path, head, encoding, reading, knows)
    return TextTable(path, dialect)


@dataclass(frozen=True)
class TextTable:
    """Separated values."""

    path: Path
    dialect: Dialect

    @property
    def label(self) -> str:
        """The file's name."""
        return str(self.path)

    @property
    def note(self) -> str:
        """The dialect."""
        return self.dialect.describe()

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the header, or numbers."""
        return self.dialect.names

    @property
    def named(self) -> bool:
        """Whether there is a header."""
        return self.dialect.header

    def parts(self, columns: Sequence[str], unreadable: Unreadable) -> Iterator[pd.DataFrame]:
        """All rows in order; those with too many or too few fields are unreadable."""
        separator = self.dialect.separator
        replace = (separator, _SHORT) if len(separator) > 1 else None
        rows = _RowNumbers(self.dialect.header)

        def invalid(row: Any) -> str:
            rows.skipped.append(row.number)
            text = row.text.replace(_SHORT, separator)
            unreadable(row.number, self._blame(row, text), text)
            return "skip"

        with opened(self.path) as content:
            plain = self.dialect.encoding == "utf-8" and replace is None
            stream = content if plain else Recoded(content, self.dialect.encoding, replace)
            try:
                reader = pacsv.open_csv(
                    pa.PythonFile(stream, mode="r"),
                    read_options=pacsv.ReadOptions(
                        use_threads=False,
                        block_size=BLOCK,
                        column_names=list(self.columns),
                        skip_rows=int(self.dialect.header),
                    ),
                    parse_options=pacsv.ParseOptions(
                        delimiter=_SHORT if replace else separator,
                        quote_char='"' if self.dialect.quoted else False,
                        escape_char="\\" if self.dialect.escaped else False,
                        newlines_in_values=self.dialect.quoted,
                        ignore_empty_lines=False,
                        invalid_row_handler=invalid,
                    ),
                    convert_options=pacsv.ConvertOptions(
                        column_types=dict.fromkeys(self.columns, pa.string()),
                        include_columns=list(columns),
                        strings_can_be_null=False,
                    ),
                )
                for batch in reader:
                    if batch.num_rows:
                        yield rows.number(batch.to_pandas())
            except pa.ArrowInvalid as error:
                raise DataError(
                    f"{self.label}, after row {rows.last}: cannot be read on ({error}); perhaps a "
                    "quote is not closed"
                ) from None

    def _blame(self, row: Any, text: str) -> str:
        said = f"has {row.actual_columns} fields, expected {row.expected_columns}"
        if (lines := len(text.splitlines())) > 1:
            return f"{said}; runs over {lines} lines, so perhaps a quote is not closed"
        for other in ("\t", ";", ",", "|"):
            if other != self.dialect.separator and text.count(other) == row.expected_columns - 1:
                return f"{said}; is separated by {other!r}"
        return said


@dataclass
class _RowNumbers:
    """Numbers rows from the numbers of those that were skipped between them."""

    header: bool
    skipped: list[int] = field(default_factory=list)
    last: int = 0
    _seen: int = 0  # valid rows

    def number(self, part: pd.DataFrame) -> pd.DataFrame:
        """Index a part by its row numbers."""
        first = 2 if self.header else 1
        # how many valid rows lie before each skipped one
        before = np.array(self.skipped, dtype=np.int64) - first - np.arange(len(self.skipped))
        valid = np.arange(self._seen, self._seen + len(part))
        numbers = valid + first + np.searchsorted(before, valid, side="right")
        self._seen += len(part)
        self.last = int(numbers[-1])
        return part.set_axis(pd.Index(numbers, name="row"), axis=0)


def sample_of(table: Table) -> pd.DataFrame:
    """The first rows of a table.

    Raises:
        DataError: there are none.
    """
    first = next(table.parts(table.columns, lambda *_: None), None)
    if first is None or not len(first):
        raise DataError(f"{table.label}: has no rows")
    return first.head(SAMPLE)


def refuse_open_quotes(table: Table, keys: pd.Series) -> None:
    """A key over several lines is no key: the rows below have fallen into it.

    Raises:
        DataError: names the row.
    """
    if (long := keys.str.strip().str.contains("\n", regex=False).to_numpy(dtype=bool)).any():
        row, value = keys.index[long][0], keys[long].iloc[0]
        raise DataError(
            f"{table.label}, row {row}, column {keys.name!r}: a quote is opened and not closed "
            f"({value[:30]!r}); close it, or give --no-quotes if quotes mean nothing"
        )
