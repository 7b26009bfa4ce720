"""How the rows of a text file are written: separator, quotes, header."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from coldstart.errors import DataError
from coldstart.intake.wishes import Reading

SEPARATORS = ("\t", "::", ";", ",", "|", " ")  # the first that fits is it
_NAMED = {"tab": "\t", "\\t": "\t", "semicolon": ";", "comma": ",", "pipe": "|", "space": " "}
_ENOUGH = 0.9  # of the rows have as many fields as each other
_ROWS = 300
_NUMBER = re.compile(r"\s*[-+]?\d*[.,]?\d+([eE][-+]?\d+)?\s*")
_DATE = re.compile(r"\s*\d{1,4}[-./]\d\d?[-./]\d{1,4}")
Quotes = Literal["none", "doubled", "escaped"]
"""How a quote stands within quotes, if they enclose fields at all."""
_TYPED = re.compile(r"(.+):(token|token_seq|float|float_seq)")


@dataclass(frozen=True)
class Dialect:
    """How rows are written."""

    encoding: str
    separator: str
    quoted: bool
    escaped: bool  # whether a backslash before a quote takes its meaning
    header: bool
    names: tuple[str, ...]

    def describe(self) -> str:
        """In a few words, for a person."""
        words = {value: key for key, value in _NAMED.items() if key.isalpha()}
        separator = words.get(self.separator, repr(self.separator))
        return (
            f"{self.encoding}, separated by {separator}"
            + (", quoted" if self.quoted else "")
            + ("" if self.header else ", without a header")
        )


def separator_of(word: str) -> str:
    """A separator as it is, from its name or itself."""
    return _NAMED.get(word.lower(), word)


def dialect_of(
    path: Path, text: str, encoding: str, said: Reading, knows: Callable[[str], bool]
) -> Dialect:
    """Guess from the start of a file what a person does not say.

    Args:
        path: For messages.
        text: Whole lines from the start of the file.
        encoding: Of the file; passed through.
        said: By a person.
        knows: Whether a text is a usual name of a column.

    Raises:
        DataError: no separator makes rows of equal length.
    """
    lines = list(io.StringIO(text, newline=""))  # splitlines knows more ends than there are
    candidates = SEPARATORS if said.separator is None else (separator_of(said.separator),)
    shares = {}
    for candidate in candidates:
        tried = [_Trial.of(lines, candidate, q) for q in _quotes(text, candidate, said)]
        shares[candidate] = max(tried, key=lambda trial: trial.share)  # the first of equal ones
    good = [s for s in candidates if shares[s].share >= _ENOUGH]
    best = good[0] if good else max(candidates, key=lambda s: shares[s].share)
    trial = shares[best]
    if trial.share == 0:
        raise DataError(
            f"{path}, row 1: {lines[0].strip()[:60]!r} has no two columns by tab, '::', semicolon, "
            "comma, pipe or space; give --separator"
            if said.separator is None
            else f"{path}, row 1: {lines[0].strip()[:60]!r} is not separated by {best!r}"
        )
    first, header = trial.rows[0], said.header
    if header is None:
        header = _is_header(first, trial.rows[1:], knows)
    if header and len(first) == trial.width - 1:  # R writes row names without a name
        first = ["", *first]
    names = _names(first if header else [""] * trial.width)
    return Dialect(encoding, best, trial.quotes != "none", trial.quotes == "escaped", header, names)


def _quotes(text: str, separator: str, said: Reading) -> list[Quotes]:
    """Ways to read quotes that are to be tried, the likelier first."""
    sign = re.escape(separator)
    opened = re.search(rf'(^|{sign})[ ]?"', text, re.MULTILINE)
    closed = re.search(rf'"\s*($|{sign})', text, re.MULTILINE)
    if len(separator) > 1 or not (said.quotes or (said.quotes is None and opened and closed)):
        return ["none"]
    ways: list[Quotes] = ["doubled"]
    if '\\"' in text:  # at the end of a field it may just be a backslash
        inside = re.search(rf'\\"(?!\s*($|{sign}|"))', text, re.MULTILINE)
        ways.insert(0 if inside else 1, "escaped")
    return ways if said.quotes else [*ways, "none"]


@dataclass(frozen=True)
class _Trial:
    """The first rows, read in one way."""

    rows: list[list[str]]
    quotes: Quotes
    width: int  # the usual number of fields
    share: float  # of the rows that have it; 0 if this is no way to read them

    @classmethod
    def of(cls, lines: list[str], separator: str, quotes: Quotes) -> _Trial:
        rows = _rows(lines, separator, quotes)
        if not rows:
            return cls(rows, quotes, 0, 0.0)
        counts = Counter(map(len, rows[1:] or rows))
        width, often = counts.most_common(1)[0]
        fits = width > 1 and len(rows[0]) > 1 and len(rows[0]) in (width, width - 1)
        return cls(rows, quotes, width, often / counts.total() if fits else 0.0)


def _rows(lines: list[str], separator: str, quotes: Quotes) -> list[list[str]]:
    if len(separator) > 1:
        return [line.rstrip("\r\n").split(separator) for line in lines[:_ROWS] if line.strip()]
    reader = csv.reader(
        lines,
        delimiter=separator,
        quoting=csv.QUOTE_NONE if quotes == "none" else csv.QUOTE_MINIMAL,
        escapechar="\\" if quotes == "escaped" else None,
    )
    try:
        rows = [row for row, _ in zip(reader, range(_ROWS), strict=False)]
    except csv.Error:  # a field beyond its limit: the quotes are none
        return []
    return [row for row in rows if row]


def _is_header(first: list[str], rest: list[list[str]], knows: Callable[[str], bool]) -> bool:
    if any(_is_value(cell) for cell in first):
        return False
    if any(knows(name_of(cell)) for cell in first):
        return True
    return any(
        all(_is_value(row[i]) for row in rest[:20] if i < len(row) and row[i].strip())
        for i in range(len(first))
        if rest
    )


def _is_value(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell) or _DATE.match(cell))


def name_of(cell: str) -> str:
    """A column's name without the type that an atomic file's header adds."""
    typed = _TYPED.fullmatch(cell.strip())
    return typed.group(1) if typed else cell.strip()


def _names(cells: list[str]) -> tuple[str, ...]:
    """A name of its own for each column; by number where the file gives none."""
    names: list[str] = []
    for number, cell in enumerate(cells, start=1):
        name = name_of(cell) or f"column {number}"
        names.append(name if name not in names else f"{name} ({number})")
    return tuple(names)
