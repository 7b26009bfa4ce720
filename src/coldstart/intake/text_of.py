"""Typed values as the text that a file would hold."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LIST = "|"  # between the members of a list


def number_text(values: NDArray[np.float64]) -> pd.Series:
    """The shortest text of each number, a whole one without a point; ``""`` for NaN."""
    whole = np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) < 2**53)
    text = pd.Series("", index=range(len(values)), dtype="str")
    text[whole] = pd.Series(values[whole].astype(np.int64)).astype("str").to_numpy()
    rest = ~whole & ~np.isnan(values)
    text[rest] = pd.Series(list(map(_float_text, values[rest].tolist())), dtype="str").to_numpy()
    return text


def _float_text(value: float) -> str:
    if value != value:
        return ""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def text_of(values: pd.Series) -> pd.Series:
    """A column as text, ``""`` where there is nothing; lists are joined by ``|``, times are ISO."""
    missing = values.isna()
    dtype = values.dtype
    if pd.api.types.is_bool_dtype(dtype) and not missing.any():
        text = values.astype("bool").map({True: "true", False: "false"}).astype("str")
    elif pd.api.types.is_float_dtype(dtype):
        text = number_text(values.to_numpy(dtype="float64", na_value=np.nan))
    elif pd.api.types.is_object_dtype(dtype) or "list" in str(dtype) or "struct" in str(dtype):
        text = pd.Series([scalar_text(value) for value in values.tolist()], dtype="str")
    else:
        text = values.astype("str")
    text = text.set_axis(values.index)
    return text.mask(missing, "") if missing.any() else text


def scalar_text(value: Any) -> str:
    """One value as text; a list as its members joined, however deep."""
    if isinstance(value, str):
        return value
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, list | tuple | set | np.ndarray):
        return LIST.join(filter(None, map(scalar_text, value)))
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float | np.floating):
        return _float_text(float(value))
    return str(value)
