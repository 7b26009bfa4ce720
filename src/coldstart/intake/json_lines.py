"""A JSON object on each line, or one list of objects."""

from __future__ import annotations

import ast
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from coldstart.errors import DataError
from coldstart.intake.streams import opened
from coldstart.intake.text_of import scalar_text

ROWS = 100_000  # of a part
SAMPLE = 1_000  # rows whose keys are the columns
_TEXT = 200  # characters shown of a row


@dataclass(frozen=True)
class JsonTable:
    """Objects; the columns are the keys of the first of them."""

    path: Path
    encoding: str
    named: bool = True

    @property
    def label(self) -> str:
        """The file's name."""
        return str(self.path)

    @property
    def note(self) -> str:
        """The format."""
        return f"JSON, {self.encoding}"

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The keys, in the order in which they turn up."""
        keys: dict[str, None] = {}
        for _, row in islice(self._objects(lambda *_: None), SAMPLE):
            keys |= dict.fromkeys(row)
        if not keys:
            raise DataError(f"{self.path}, row 1: is no JSON object, nor are the rows after it")
        return tuple(keys)

    def parts(
        self, columns: Sequence[str], unreadable: Callable[[int, str, str], None]
    ) -> Iterator[pd.DataFrame]:
        """All objects in order; a line that holds none is unreadable."""
        objects = self._objects(unreadable)
        while part := list(islice(objects, ROWS)):
            yield pd.DataFrame(
                {name: [scalar_text(row.get(name)) for _, row in part] for name in columns},
                index=pd.Index([number for number, _ in part], name="row"),
                dtype="str",
            )

    def _objects(
        self, unreadable: Callable[[int, str, str], None]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        with (
            opened(self.path) as content,
            io.TextIOWrapper(content, encoding=self.encoding) as lines,
        ):
            first = lines.readline()
            if first.lstrip().startswith("["):
                yield from enumerate(self._list(first + lines.read()), start=1)
                return
            for number, line in enumerate([first], start=1):
                yield from _parsed(number, line, unreadable)
            for number, line in enumerate(lines, start=2):
                yield from _parsed(number, line, unreadable)

    def _list(self, text: str) -> list[dict[str, Any]]:
        try:
            rows = json.loads(text)
        except ValueError as error:
            raise DataError(f"{self.path}: is no list of JSON objects: {error}") from None
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, dict):
                raise DataError(f"{self.path}, row {number}: is no JSON object")
        return list(rows)


def _parsed(
    number: int, line: str, unreadable: Callable[[int, str, str], None]
) -> Iterator[tuple[int, dict[str, Any]]]:
    if not line.strip():
        return
    try:
        row = json.loads(line)
    except ValueError as error:
        row = _python(line)
        if row is None:
            unreadable(number, f"is not JSON ({error})", line.strip()[:_TEXT])
            return
    if isinstance(row, dict):
        yield number, row
    else:
        unreadable(number, "is no JSON object", line.strip()[:_TEXT])


def _python(line: str) -> Any:
    """Amazon's metadata of 2014 are Python literals, not JSON."""
    try:
        return ast.literal_eval(line.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
