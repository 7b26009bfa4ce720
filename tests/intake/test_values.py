"""Units and formats of times, and what is no time at all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from coldstart.intake.values import out_of_time, time_forms, times

DAY = 86_400


@pytest.mark.parametrize("seconds", [1e8, 881_250_949, 1_600_000_000, 4_000_000_000])
@pytest.mark.parametrize(
    ("unit", "scale"),
    [("seconds", 1), ("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9)],
)
def test_a_unit_is_told_from_1973_to_2096(seconds: float, unit: str, scale: int) -> None:
    written = pd.Series([str(int(seconds) * scale)] * 3, dtype="str")
    (form,) = time_forms(written)
    assert form.name == unit
    assert times(written, form).tolist() == [seconds] * 3


@pytest.mark.parametrize(
    ("written", "name", "expected"),
    [
        ("1970-01-02", "ISO", DAY),
        ("1970-01-01T01:00:00+01:00", "ISO", 0),
        ("1970-01-02 00:00:00.250", "ISO", DAY + 0.25),
        ("1970-01-02 00:00:00 UTC", "ISO", DAY),
        ("19700102", "YYYYMMDD", DAY),
        ("31.01.1970", "D.M.Y", 30 * DAY),
        ("31/01/1970", "D/M/Y", 30 * DAY),
        ("01/31/1970 11:30 PM", "M/D/Y", 30 * DAY + 84_600),
        ("1970/01/31 01:00", "ISO", 30 * DAY + 3600),
        ("01 31, 1970", "M D, Y", 30 * DAY),
        ("January 31, 1970", "month D, Y", 30 * DAY),
        ("Jan 31, 1970", "mon D, Y", 30 * DAY),
        ("17", "steps", 17),
    ],
)
def test_formats(written: str, name: str, expected: float) -> None:
    values = pd.Series([written], dtype="str")
    (form,) = time_forms(values)
    assert form.name == name
    assert times(values, form).tolist() == [expected]


def test_a_later_day_tells_days_from_months() -> None:
    values = pd.Series(["01/02/2020", "01/03/2020", "13/03/2020"], dtype="str")
    assert [form.name for form in time_forms(values)] == ["D/M/Y"]
    assert [form.name for form in time_forms(values[:2])] == ["D/M/Y", "M/D/Y"]
    assert time_forms(pd.Series(["soon", "later"], dtype="str")) == []


def test_nobody_rated_before_1970_or_after_2100() -> None:
    seconds = np.array([-1.0, 0.0, 0.5, 1.0, 4_102_444_800.0, 4_102_444_801.0, np.nan])
    (form,) = time_forms(pd.Series(["1600000000"], dtype="str"))
    assert out_of_time(seconds, form).tolist() == [True, True, True, False, False, True, False]
    (steps,) = time_forms(pd.Series(["3"], dtype="str"))
    assert out_of_time(seconds, steps).tolist() == [True, *[False] * 6]
