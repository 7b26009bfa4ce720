"""Writing atomic files, a part at a time. Format: see :mod:`coldstart.data.sources`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc


def write_header(file: TextIO, columns: Sequence[str]) -> None:
    """``name:type`` of each column."""
    file.write("\t".join(columns) + "\n")


def write_rows(file: TextIO, part: pd.DataFrame) -> None:
    """Rows of text, which must hold no tab and no line end."""
    if not len(part):
        return
    columns = [pa.array(part[name], type=pa.string()) for name in part]
    lines = pc.binary_join_element_wise(*columns, "\t")
    file.write("\n".join(lines.to_pylist()) + "\n")


def one_line(values: pd.Series) -> pd.Series:
    """Text without tabs, line ends and other control characters, for a field of a file."""
    return values.str.replace(r"[\x00-\x1f\x7f\s]+", " ", regex=True).str.strip()
