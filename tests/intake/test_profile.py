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
    total_variation,
)
from coldstart.params import DataParams


def test_histogram_counts_values() -> None:
    ratings = pd.Series([1.0, 5.0, 5.0, 3.5, np.nan, np.inf])
    assert histogram(ratings) == {"1": 1, "3.5": 1, "5": 2}


def test_levels_do_not_depend_on_other_values() -> None:
    scale = (0.0, 10.0)
    many = histogram(pd.Series(np.linspace(0, 10, 1001)), scale)
    assert (len(many), sum(many.values())) == (201, 1001)
    assert histogram(pd.Series([2.0, 2.5, 2.51]), scale) == {"2": 1, "2.5": 2}
    assert set(histogram(pd.Series([2.0, 2.5, 2.51]), scale)) <= set(many)
    halves = pd.Series(np.arange(0.5, 5.1, 0.5))
    assert set(histogram(halves, (0.5, 5.0)).values()) == {1}
    assert histogram(pd.Series([1.0, 12, 1234, 1249])) == {"1": 1, "12": 1, "1200": 2}


def test_total_variation_distance() -> None:
    for distance in (distribution_shift, total_variation):
        assert distance({"1": 10, "2": 30}, {"1": 1, "2": 3}) == 0
        assert distance({"1": 4}, {"2": 9}) == 1
        assert distance({"1": 1, "2": 1}, {"1": 1, "2": 3}) == pytest.approx(0.25)
    assert total_variation({"view": 1, "buy": 1}, {"view": 1}) == 0.5


@pytest.mark.parametrize("scale", [None, (-10.0, 10.0)])
def test_one_other_rating_of_many_is_a_small_shift(scale: tuple[float, float] | None) -> None:
    old = pd.Series(np.round(np.linspace(-9.5, 9.5, 2001), 2))
    new = old.copy()
    new.iloc[-1] = 9.9
    shift = distribution_shift(histogram(new, scale), histogram(old, scale))
    assert shift == pytest.approx(1 / 2001)
    assert distribution_shift(histogram(old, scale), histogram(old, scale)) == 0


@pytest.mark.parametrize("digits", [0, 1, 2, 6])  # from 6 distinct values to as many as ratings
def test_two_draws_are_close_however_many_values_there_are(digits: int) -> None:
    rng = np.random.default_rng(0)
    first, second, lower = (
        histogram(pd.Series(np.round(5 * rng.beta(a, 2, 4000), digits)), (0.0, 5.0))
        for a in (4, 4, 2)
    )
    assert distribution_shift(second, first) < 0.05
    assert distribution_shift(lower, first) > 0.3


def test_the_shift_of_counts_does_not_hang_on_the_largest() -> None:
    rng = np.random.default_rng(0)
    plays = pd.Series(rng.zipf(1.6, 5000).clip(max=10_000).astype("float64"))
    assert distribution_shift(histogram(plays * 2), histogram(plays)) > 0.4
    one_more = pd.concat([plays, pd.Series([1e9])], ignore_index=True)
    assert distribution_shift(histogram(one_more), histogram(plays)) < 0.001


def test_schema_changes_are_named(tiny_source: Path, data_params: DataParams) -> None:
    old = profile_of(read_source(tiny_source, "tiny"), data_params)
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
