"""One number per user and item from ratings, counts and kinds of event, by hand."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from coldstart.data.interests import interests
from coldstart.data.sources import Source
from coldstart.errors import DataError, ParamsError
from coldstart.params import DataParams, parse_section


def source(**columns: list[Any]) -> Source:
    n = len(next(iter(columns.values())))
    ids = {"user_id": ["u"] * n, "item_id": ["i"] * n}
    return Source("x", pd.DataFrame(ids | columns), None, None, None, None, digest="")


def data(**values: Any) -> DataParams:
    return parse_section(DataParams, {"name": "x", "source": "x", **values}, "data")


def value(rows: Source, params: DataParams) -> float:
    (found,) = interests(rows, params, None)["rating"]
    return float(found)


RATED = {"min_rating": 1.0, "max_rating": 5.0, "like": 4.0}
EVENTS = {"view": 0.1, "cart": 0.5, "purchase": 1.0, "dislike": -1.0, "shown": 0.0, "log": None}


def test_the_latest_rating_counts() -> None:
    rows = source(rating=[5.0, 1.0, 3.0], timestamp=[30.0, 10.0, 20.0])
    assert value(rows, data(**RATED)) == 5
    assert value(source(rating=[5.0, 1.0]), data(**RATED)) == 1  # the last row, without times


@pytest.mark.parametrize(
    ("like", "counts", "expected"),
    [(None, [1.0], 1.0), (10.0, [1.0], 0.1), (10.0, [3.0, 4.0], 0.7), (10.0, [40.0], 1.0)],
)
def test_counts_add_up_to_a_like(like: float | None, counts: list[float], expected: float) -> None:
    assert value(source(count=counts), data(like=like)) == pytest.approx(expected)
    assert value(source(label=counts), data(like=like)) == pytest.approx(expected)
    rows = source(timestamp=[1.0] * int(sum(counts)))  # a row each
    assert value(rows, data(like=like)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (["view"], 0.1),
        (["view"] * 3 + ["cart"], 0.8),
        (["cart", "view", "cart"], 1.0),
        (["purchase", "purchase"], 1.0),
        (["shown"], 0.0),
        (["purchase", "dislike"], 0.0),
        (["view", "log", "dislike"], 0.0),
        (["view", "log"], 0.1),
    ],
)
def test_strengths_of_events_add_up(events: list[str], expected: float) -> None:
    for order in (events, events[::-1]):
        assert value(source(event=order), data(events=EVENTS)) == pytest.approx(expected)


def test_an_event_may_count_several_times_and_a_like_may_ask_for_more() -> None:
    rows = source(event=["view", "cart"], count=[5.0, 1.0])
    assert value(rows, data(events=EVENTS)) == pytest.approx(1.0)
    assert value(rows, data(events=EVENTS, like=2.0)) == pytest.approx(0.5)


def test_ratings_are_not_read_without_a_scale() -> None:
    assert value(source(rating=[2.0]), data()) == 1.0


def test_the_past_does_not_hold_the_future() -> None:
    rows = Source(
        "x",
        pd.DataFrame(
            [
                ("old", "a", "view", 10.0),
                ("old", "a", "purchase", 30.0),
                ("old", "b", "cart", 30.0),
                ("new", "a", "view", 25.0),
                ("new", "a", "cart", 30.0),
            ],
            columns=["user_id", "item_id", "event", "timestamp"],
        ),
        *([None] * 4),
        digest="",
    )
    found = interests(rows, data(events=EVENTS), 20).set_index(["user_id", "item_id"])
    assert found["rating"].round(6).to_dict() == {
        ("old", "a"): 0.1,  # what came later adds nothing
        ("old", "b"): 0.5,  # after the cut altogether
        ("new", "a"): 0.6,  # nobody learns from a cold user
    }
    assert found["timestamp"].to_dict() == {("old", "a"): 10, ("old", "b"): 30, ("new", "a"): 30}


@pytest.mark.parametrize(
    ("rows", "params", "message"),
    [
        (source(timestamp=[1.0]), RATED, "line 1: column rating:float is missing.*min_rating"),
        (source(label=[1.0]), RATED, "line 1: column rating:float is missing; found .*label"),
        (source(event=["a", "a", "b"]), {}, r"no strength .*: a \(2 rows\), b \(1 rows\)\. Give"),
        (source(event=["view", "refund"]), {"events": EVENTS}, r"kinds of event: refund \(1 rows"),
        (source(count=[1.0]), {"events": EVENTS}, "column event:token is missing, which data.ev"),
        (source(count=["1"]), {}, "column 'count' must have type float"),
        (source(count=[1.0], label=[1.0]), {}, "has both count and label; leave one"),
        (source(event=["log"]), {"events": EVENTS}, "data.events leaves every row out"),
    ],
)
def test_what_does_not_fit_the_params_is_named(
    rows: Source, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        interests(rows, data(**params), None)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({**RATED, "like": None}, "needs min_rating < like <= max_rating"),
        ({**RATED, "max_rating": None}, "min_rating and max_rating: both a number, or both null"),
        ({**RATED, "events": EVENTS}, "events: is for data without ratings"),
        ({"like": 0.0}, "like: 0 must be above 0 without ratings"),
        ({"events": {"view": float("nan")}}, "data: events.view: nan is not allowed"),
    ],
)
def test_a_section_that_contradicts_itself(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        data(**params)
