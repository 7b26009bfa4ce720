"""Geometry of the charts."""

from __future__ import annotations

from itertools import pairwise

import pytest

from coldstart.reporting.charts import LEFT, RIGHT, WIDTH, Line, sweep, ticks

SHOTS = (0.0, 1.0, 4.0)


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.93, 1.04, ["0.950", "0.975", "1.000", "1.025"]),
        (-0.021, 0.03, ["−0.02", "0.00", "0.02"]),
        (0, 100, ["0", "20", "40", "60", "80", "100"]),
    ],
)
def test_ticks_are_round_and_have_the_digits_they_need(
    low: float, high: float, texts: list[str]
) -> None:
    assert [text for _, text in ticks(low, high)] == texts


def test_shots_are_spaced_by_their_square_root() -> None:
    chart = sweep("t", "n", [Line("a", SHOTS, (1, 2, 3), style="hero")])
    left, middle, right = (float(tick.at) for tick in chart.x_ticks)
    assert left == LEFT
    assert right == WIDTH - RIGHT
    assert middle == pytest.approx((left + right) / 2)


def test_labels_never_overlap() -> None:
    lines = [Line(name, SHOTS, (1, 2, 3), style="hero") for name in "abcd"]
    drawn = sweep("t", "n", lines).lines
    heights = sorted(float(line.label_y) for line in drawn)
    assert all(b - a >= 14.9 for a, b in pairwise(heights))


def test_a_quiet_method_does_not_stretch_the_range() -> None:
    loud = Line("a", SHOTS, (1.0, 0.9, 0.8), style="hero")
    alone = sweep("t", "n", [loud])
    with_outlier = sweep("t", "n", [loud, Line("random", SHOTS, (9.0, 9.0, 9.0))])
    assert alone.y_ticks == with_outlier.y_ticks
    assert next(line for line in with_outlier.lines if line.name == "random").label_y == ""
