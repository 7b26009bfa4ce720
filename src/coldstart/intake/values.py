"""From text to keys, numbers, times and genres, a column at a time.

Nothing here decides what becomes of a row: what cannot be read is NaN or ``""``.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MISSING = ("", "nan", "NaN", "NA", "N/A", "n/a", "null", "NULL", "None", "\\N", "<NA>", "NaT")
EARLIEST, LATEST = 1.0, 4102444800.0  # seconds since 1970: after it, and before 2100
UNITS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
_DATES = {  # of a text that is not ISO; day and month must be told apart
    "ISO": None,
    "D.M.Y": "%d.%m.%Y",
    "D/M/Y": "%d/%m/%Y",
    "M/D/Y": "%m/%d/%Y",
    "D-M-Y": "%d-%m-%Y",
    "M D, Y": "%m %d, %Y",
    "month D, Y": "%B %d, %Y",
    "mon D, Y": "%b %d, %Y",
}
_CLOCKS = ("", " %H:%M:%S", " %H:%M", " %H:%M:%S.%f", " %I:%M:%S %p", " %I:%M %p")

Floats = NDArray[np.float64]


def keys(values: pd.Series) -> pd.Series:
    """Keys of users or items as an atomic file can hold them; ``""`` where there is none."""
    clean = values.str.strip()
    odd = clean.str.contains(r"[\s\x00-\x1f]", regex=True)
    if odd.any():
        clean = clean.mask(odd, clean[odd].str.replace(r"[\s\x00-\x1f]+", " ", regex=True))
    return clean.mask(clean.isin(MISSING), "")


def without_points(values: pd.Series) -> pd.Series:
    """Whole numbers without the ``.0`` that a hole in the column gave to all of them."""
    return values.str.replace(r"^(\s*-?\d+)\.0(\s*)$", r"\1\2", regex=True)


def are_pointless(values: pd.Series) -> bool:
    """Whether all keys are whole numbers written as floats."""
    given = values[~values.isin(MISSING)]
    return bool(len(given)) and bool(given.str.fullmatch(r"\s*-?\d+\.0\s*").all())


def decimal_of(values: pd.Series) -> str:
    """The decimal sign of a column: a comma only where some number has one and none has a point."""
    comma = values.str.fullmatch(r"\s*[-+]?\d+,\d+\s*").any()
    point = values.str.fullmatch(r"\s*[-+]?\d*\.\d+\s*").any()
    return "," if comma and not point else "."


def numbers(values: pd.Series, decimal: str) -> Floats:
    """Numbers, true and false as 1 and 0; NaN where there is none."""
    text = values.str.replace(",", ".", regex=False) if decimal == "," else values
    found = pd.to_numeric(text, errors="coerce").to_numpy(dtype="float64", na_value=np.nan).copy()
    if (failed := np.isnan(found)).any():
        words = text[failed].str.strip().str.lower().map({"true": 1.0, "false": 0.0})
        found[failed] = words.to_numpy(dtype="float64", na_value=np.nan)
    return found


@dataclass(frozen=True)
class TimeForm:
    """How a column writes times: the name of a unit of :data:`UNITS`, or a format of dates."""

    name: str
    pattern: str | None = None

    @property
    def relative(self) -> bool:
        """Whether it counts from a start that nobody knows."""
        return self.name == "steps"


def time_forms(values: pd.Series) -> list[TimeForm]:
    """The forms that all given values fit; several where days and months look alike."""
    given = values[~values.isin(MISSING)]
    if not len(given):
        return []
    amounts = numbers(given, ".")
    if np.isfinite(amounts).mean() > 0.5:
        middle = float(np.nanmedian(amounts))
        if given.str.fullmatch(r"(19|20)\d\d[01]\d[0-3]\d").mean() > 0.9:
            return [TimeForm("YYYYMMDD", "%Y%m%d")]
        if middle < 1e8:
            return [TimeForm("steps")]
        return [TimeForm(next((u for u, s in UNITS.items() if middle < 1e11 * s), "nanoseconds"))]
    forms = []
    for name, date in _DATES.items():
        for clock in _CLOCKS if date else ("",):
            form = TimeForm(name, date and date + clock)
            if np.isfinite(times(given, form)).mean() > 0.5:
                forms.append(form)
                break
    best = [float(np.isfinite(times(given, form)).mean()) for form in forms]
    return [form for form, share in zip(forms, best, strict=True) if share == max(best)]


def is_time(values: pd.Series) -> bool:
    """Whether a column without a name holds times; numbers have to lie between 1990 and 2100."""
    forms = time_forms(values)
    if not forms or forms[0].relative:
        return False
    found = times(values, forms[0])
    return bool(np.isfinite(found).mean() > 0.9 and np.nanmin(found) > 631152000.0)


def times(values: pd.Series, form: TimeForm) -> Floats:
    """Seconds since 1970; a time without a zone is taken to be UTC, NaN if it is none."""
    if form.relative:
        return numbers(values, ".")
    if form.name in UNITS:
        return numbers(values, ".") / UNITS[form.name]
    text = values.str.strip().str.replace(r"\s*\b(UTC|GMT)$", "", regex=True)
    parsed = pd.to_datetime(text, format=form.pattern or "ISO8601", utc=True, errors="coerce")
    micro = parsed.dt.as_unit("us").astype("int64").to_numpy(dtype="float64")
    return np.where(parsed.isna(), np.nan, micro / 1e6)


def out_of_time(seconds: Floats, form: TimeForm) -> NDArray[np.bool_]:
    """Times before 1970 or after 2100; a count of steps only has to be no less than 0."""
    with np.errstate(invalid="ignore"):
        return (seconds < 0) | ((seconds > LATEST) | (seconds < EARLIEST)) & (not form.relative)


def genre_separator(values: pd.Series) -> str:
    """What stands between the genres of an item: one of ``|;,/``, or a space, or nothing.

    Spaces separate where splitting at them leaves fewer words than there are values: four words
    make dozens of combinations, but "Science Fiction" and "Film Noir" are two of four words.
    """
    given = values[~values.isin(MISSING)]
    often = Counter({sign: int(given.str.contains(sign, regex=False).sum()) for sign in "|;,/"})
    if (best := often.most_common(1)[0])[1]:
        return best[0]
    spaced = given[given.str.contains(" ", regex=False)]
    words = set(" ".join(given.unique()).split())
    return " " if spaced.nunique() > len(words) else ""


def genres(values: pd.Series, separator: str) -> pd.Series:
    """Genres as words separated by spaces; a space within one becomes ``_``."""
    known = {text: _genres(text, separator) for text in values.unique().tolist()}
    return values.map(known).astype("str")


def _genres(text: str, separator: str) -> str:
    if text in MISSING or text.startswith("(no genres"):
        return ""
    text = re.sub(r"^\[(.*)\]$", r"\1", text.strip())  # a list that was printed
    parts = text.split(separator) if separator else [text]
    # a bar that separates nothing here would separate for who reads the file
    words = ["_".join(part.strip().strip("'\"").replace("|", "/").split()) for part in parts]
    return " ".join(dict.fromkeys(filter(None, words)))


def title_year(titles: pd.Series) -> pd.Series:
    """The year that a title ends with, as in ``Heat (1995)``; ``""`` where it has none."""
    return titles.str.extract(r"\((1[89]\d\d|20\d\d)\)\s*$", expand=False).fillna("").astype("str")


def years(values: pd.Series) -> pd.Series:
    """The first year in a text, so that a date will do; ``""`` where there is none."""
    return (
        values.str.extract(r"(?<!\d)(1[0-9]\d\d|20\d\d)(?!\d)", expand=False)
        .fillna("")
        .astype("str")
    )
