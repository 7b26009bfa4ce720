"""The catalogue of metrics: names for programs, titles for people, and where each is shown."""

from __future__ import annotations

import pytest

from coldstart.errors import ParamsError
from coldstart.evaluation.metrics import ERROR, LEVELS, METRICS, PRIMARY, metric


def test_names_are_for_programs_and_titles_for_people() -> None:
    for name, found in METRICS.items():
        assert name == found.name == name.lower()
        assert " " not in name
        assert found.title[0].isupper()
        assert metric(name) is found
    assert len({found.title for found in METRICS.values()}) == len(METRICS)
    with pytest.raises(ParamsError, match="'f1' is unknown; there are list_recall@10, "):
        metric("f1")


def test_every_goal_is_compared_with_the_reference_and_drawn() -> None:
    compared = {name for name, found in METRICS.items() if found.compared}
    assert compared == {
        "list_recall@10", "list_ndcg@10", "recall@10", "ndcg@5", "rmse", "mae", "log_loss",
    }  # fmt: skip
    for found in (*PRIMARY.values(), *ERROR.values()):
        assert found.compared
        assert found.plot is not None
    drawn = {found.plot: name for name, found in METRICS.items() if found.plot}
    assert set(drawn) == {"list_recall_at_10", "error", "ndcg_at_5", "recall_at_10"}


def test_of_three_intervals_the_report_shows_one() -> None:
    assert LEVELS == {"covered@50": 0.5, "covered@80": 0.8, "covered@95": 0.95}
    assert {name for name, found in METRICS.items() if not found.shown} == {
        "covered@50", "covered@95",
    }  # fmt: skip
    assert METRICS["covered@80"].aim == "80% is right"


def test_only_coverage_is_of_no_single_user() -> None:
    assert {name for name, found in METRICS.items() if not found.per_user} == {"coverage"}


def test_errors_are_better_when_they_are_less() -> None:
    less = {name for name, found in METRICS.items() if found.sign < 0}
    assert less == {"rmse", "mae", "rmse_cold_items", "log_loss", "nll"}
    assert {found.sign for found in METRICS.values()} == {1, -1}
