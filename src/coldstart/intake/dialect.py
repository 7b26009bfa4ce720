"""How the rows of a text file are written: separator, quotes, header."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from coldstart.errors import DataError
from coldstart.intake.wishes import Reading

SEPARATORS = ("\t", "::", ";", ",", "|", " ")  # the first that fits is it
_NAMED = {"tab": "\t", "\\t": "\t", "semicolon": ";", "comma": ",", "pipe": "|", "space": " "}
_ENOUGH = 0.9  # of the rows have as many fields as each other
_ROWS = 300
_NUMBER = re.compile(r"\s*[-+]?\d*[.,]?\d+([eE][-+]?\d+)?\s*")
_DATE = re.compile(r"\s*\d{1,4}[-./]\d\d?[-./]\d{1,4}")
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
    quoted, header = said.quotes, said.header
    if quoted is None:
        quoted = bool(re.search(r'(^|[\t;,| ])"[^\n]*"\s*($|[\t;,|\n ])', text))
    escaped = quoted and '\\"' in text
    lines = text.splitlines(keepends=True)
    candidates = SEPARATORS if said.separator is None else (separator_of(said.separator),)
    shares = {}
    for candidate in candidates:
        rows = _rows(lines, candidate, quoted=quoted, escaped=escaped)
        width, share = _width(rows)
        shares[candidate] = (share, width, rows)
    good = [s for s in candidates if shares[s][0] >= _ENOUGH]
    best = good[0] if good else max(candidates, key=lambda s: shares[s][0])
    share, width, rows = shares[best]
    if share == 0:
        raise DataError(
            f"{path}, row 1: {lines[0].strip()[:60]!r} has no two columns by tab, '::', semicolon, "
            "comma, pipe or space; give --separator"
            if said.separator is None
            else f"{path}, row 1: {lines[0].strip()[:60]!r} is not separated by {best!r}"
        )
    if len(best) > 1:
        quoted = escaped = False
    first = rows[0]
    if header is None:
        header = _is_header(first, rows[1:], knows)
    if header and len(first) == width - 1:  # R writes row names without a name
        first = ["", *first]
    names = _names(first if header else [""] * width)
    return Dialect(encoding, best, quoted, escaped, header, names)


def _rows(lines: list[str], separator: str, *, quoted: bool, escaped: bool) -> list[list[str]]:
    if len(separator) > 1:
        return [line.rstrip("\r\n").split(separator) for line in lines[:_ROWS] if line.strip()]
    reader = csv.reader(
        lines,
        delimiter=separator,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        escapechar="\\" if escaped else None,
    )
    try:
        rows = [row for row, _ in zip(reader, range(_ROWS), strict=False)]
    except csv.Error:  # a field beyond its limit: the quotes are none
        return []
    return [row for row in rows if row]


def _width(rows: list[list[str]]) -> tuple[int, float]:
    """The usual number of fields, and the share of rows that have it; 0 where it fits nowhere."""
    if not rows:
        return 0, 0.0
    counts = Counter(map(len, rows[1:] or rows))
    width, often = counts.most_common(1)[0]
    if width < 2 or len(rows[0]) not in (width, width - 1):
        return width, 0.0
    return width, often / counts.total()


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
