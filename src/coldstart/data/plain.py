"""One text for one value: 2, 2.0, "2" and "2.0" are the same category and the same id.

A file, a data frame and a JSON request write the same number in different ways. What has leading
zeros, as a postcode, or an exponent is a text like any other.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

_NUMBER = re.compile(r"^(-?(?:0|[1-9]\d*))(?:\.0*|(\.\d*[1-9])0+)$")
"""A decimal number whose last digits say nothing; the groups are what does."""


def plain(value: Any) -> str:
    """The text of one value; that of None and of NaN is empty."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, float):
        return _zero(np.format_float_positional(value, trim="-"))
    return _zero(_NUMBER.sub(_shortest, str(value).strip()))


def plain_texts(values: pd.Series) -> pd.Series:
    """:func:`plain` of every value of a column of texts or numbers."""
    distinct = values.unique()
    return values.map(dict(zip(distinct, map(plain, distinct), strict=True))).astype("str")


def _shortest(match: re.Match[str]) -> str:
    return match[1] + (match[2] or "")


def _zero(text: str) -> str:
    return "0" if text == "-0" else text
