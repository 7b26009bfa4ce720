"""The levels beside the prototypes, and grids that are twice as wide."""

from __future__ import annotations

import math

import pandas as pd
import pytest

import levels
import wider_grids
from coldstart.tuning.space import Range


def rows(excess: float) -> pd.DataFrame:
    """Two seeds around the prototypes; bias as they have it, the others worse by ``excess``."""
    found = [
        {"seed": seed, "method": name, "k": k, "rmse": level + 0.001 * (2 * seed - 1) + more}
        for name, published in levels.PROTOTYPES.items()
        for k, level in zip(levels.SHOTS, published, strict=True)
        for seed in (0, 1)
        for more in (0.0 if name == "bias" else excess,)
    ]
    return pd.DataFrame(found)


def cells(excess: float) -> dict[str, list[str]]:
    lines = levels.markdown(rows(excess)).splitlines()[2:]
    return {f"{i}": line.strip("| ").split(" | ") for i, line in enumerate(lines) if "|" in line}


def test_ours_the_prototype_and_their_difference() -> None:
    table = cells(0.004)
    assert table["0"][:2] == ["item_mean", "1.0230 ± 0.0014"]
    assert table["1"][:2] == ["prototype", "1.019"]
    assert table["2"][:2] == ["difference", "+0.0040"]
    assert table["6"][:2] == ["difference in bias - item_mean", "-0.0040 ± 0.0000"]
    assert table["10"][:2] == ["difference in itemknn - bias", "+0.0040 ± 0.0000"]


def test_what_is_too_far_above_is_marked_and_what_is_better_is_not() -> None:
    assert cells(0.006)["2"][1] == "**+0.0060**"
    assert cells(-0.02)["2"][1] == "-0.0200"


@pytest.mark.parametrize(("low", "high", "integer"), [(1.0, 50.0, False), (20, 2000, True)])
def test_a_wide_grid_has_twice_the_range_around_the_same_middle(
    low: float, high: float, integer: bool
) -> None:
    grid = wider_grids.wide_grid(Range(low, high, True, integer), 9)
    assert math.log(grid[-1] / grid[0]) == pytest.approx(2 * math.log(high / low), rel=0.01)
    assert grid[0] * grid[-1] == pytest.approx(low * high, rel=0.02)
    assert len(grid) == 9
    assert all(isinstance(value, int) for value in grid) is integer
