"""Tables whose columns have types: Parquet files and data frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as papq

from coldstart.errors import DataError
from coldstart.intake.streams import seekable
from coldstart.intake.text_of import text_of

ROWS = 250_000  # of a part


@dataclass(frozen=True)
class ParquetTable:
    """A Parquet file."""

    path: Path
    named: bool = True
    note: str = "Parquet"

    @property
    def label(self) -> str:
        """The file's name."""
        return str(self.path)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Of the schema; an index that pandas stored is none."""
        with seekable(self.path) as content:
            try:
                names = papq.read_schema(content).names
            except (pa.ArrowException, OSError) as error:
                raise self._damaged(error) from None
        return tuple(name for name in names if not name.startswith("__index_level_"))

    def parts(
        self, columns: Sequence[str], unreadable: Callable[[int, str, str], None]
    ) -> Iterator[pd.DataFrame]:
        """All rows in order; a file that can be read at all has no unreadable ones."""
        first = 1
        with seekable(self.path) as content:
            batches = papq.ParquetFile(content).iter_batches(ROWS, columns=list(columns))
            while True:
                try:
                    batch = next(batches, None)
                except (pa.ArrowException, OSError) as error:
                    raise self._damaged(error) from None
                if batch is None:
                    return
                part = batch.to_pandas(types_mapper=pd.ArrowDtype)
                yield _numbered(part[list(columns)], first)
                first += len(part)

    def _damaged(self, error: Exception) -> DataError:
        said = str(error).splitlines()[0]
        return DataError(f"{self.path}: is no complete Parquet file ({said}); get it again")


@dataclass(frozen=True)
class FrameTable:
    """A data frame; its index is not read."""

    frame: pd.DataFrame
    label: str
    named: bool = True
    note: str = "a data frame"

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the frame."""
        return tuple(map(str, self.frame.columns))

    def parts(
        self, columns: Sequence[str], unreadable: Callable[[int, str, str], None]
    ) -> Iterator[pd.DataFrame]:
        """All rows in order."""
        frame = self.frame.set_axis(list(self.columns), axis=1)[list(columns)]
        for first in range(0, len(frame), ROWS):
            yield _numbered(frame.iloc[first : first + ROWS], first + 1)


def _numbered(part: pd.DataFrame, first: int) -> pd.DataFrame:
    rows = pd.RangeIndex(first, first + len(part), name="row")
    return pd.DataFrame({name: text_of(part[name]) for name in part}).set_axis(rows, axis=0)
