"""Histograms, their distance and schema changes, by hand."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from coldstart.data.sources import read_source
from coldstart.errors import DataError, ParamsError
from coldstart.intake.expect import reference_day
from coldstart.intake.profile import (
    distribution_shift,
    histogram,
    profile_of,
    read_accepted,
    schema_changes,
)


def test_histogram_counts_values() -> None:
    ratings = pd.Series([1.0, 5.0, 5.0, 3.5, np.nan, np.inf])
    assert histogram(ratings) == {"1": 1, "3.5": 1, "5": 2}


def test_many_values_are_binned() -> None:
    bins = histogram(pd.Series(np.linspace(0, 10, 1001)))
    assert len(bins) == 20
    assert sum(bins.values()) == 1001
    assert bins["0"] == 50
    assert bins["9.5"] == 51


def test_total_variation_distance() -> None:
    assert distribution_shift({"1": 10, "2": 30}, {"1": 1, "2": 3}) == 0
    assert distribution_shift({"1": 4}, {"2": 9}) == 1
    assert distribution_shift({"1": 1, "2": 1}, {"1": 1, "2": 3}) == pytest.approx(0.25)


def test_schema_changes_are_named(tiny_source: Path) -> None:
    old = profile_of(read_source(tiny_source, "tiny"))
    assert schema_changes(old, old) == []
    columns = {name: dict(of) for name, of in old["columns"].items() if name != "kg"}
    columns["users"]["age"] = "float"
    columns["users"]["income"] = "float"  # more than before is no fault
    del columns["items"]["class"]
    assert sorted(schema_changes({**old, "columns": columns}, old)) == [
        "column items.class is gone",
        "column users.age was token, is float",
        "table kg is gone",
    ]


def test_reference_day() -> None:
    accepted = {"newest_timestamp": 893286638}  # 1998-04-22 23:10:38 UTC
    assert reference_day(None, accepted) == date(1998, 4, 23)
    assert reference_day("2000-02-29", accepted) == date(2000, 2, 29)
    assert reference_day(None, None) is None
    with pytest.raises(ParamsError, match="'2001-02-29' is not a day"):
        reference_day("2001-02-29", accepted)


def test_broken_reference_is_named(tmp_path: Path) -> None:
    (tmp_path / "accepted").mkdir()
    (tmp_path / "accepted/x.json").write_text("{")
    with pytest.raises(DataError, match=r"x\.json: is not JSON .* `coldstart accept`"):
        read_accepted(tmp_path, "x")
    (tmp_path / "accepted/x.json").write_text("{}")
    with pytest.raises(DataError, match=r"x\.json: lacks \['columns'"):
        read_accepted(tmp_path, "x")
    assert read_accepted(tmp_path, "y") is None
