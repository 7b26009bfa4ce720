"""The keys that data asks for: scale, protocol, limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from coldstart.intake.advice import advice
from coldstart.intake.facts import Facts
from coldstart.params import Params, parse_section, resolve

ROOT = Path(__file__).parents[2]


def facts(histories: list[int], ratings: list[float] | None = None) -> Facts:
    """Users with as many different items each; ratings in turn."""
    user = np.repeat([f"u{n}" for n in range(len(histories))], histories)
    item = np.concatenate([[f"i{n}" for n in range(count)] for count in histories])
    table = pd.DataFrame({"user": user, "item": item}, dtype="str")
    if ratings is not None:
        table["rating"] = np.resize(np.array(ratings, dtype="float64"), len(table))
    counted = Facts()
    for start in range(0, len(table), 50):  # as it comes, in parts
        counted.add(table.iloc[start : start + 50])
    return counted


@pytest.mark.parametrize(
    ("ratings", "scale"),
    [
        ([1, 2, 3, 4, 5], (1, 5, 4)),
        ([2, 3, 5], (1, 5, 5)),
        ([0.5, 1, 4, 4.5, 5], (0.5, 5, 4)),
        ([0, 1, 2, 3, 4, 5], (0, 5, 4)),
        ([1, 5, 7, 8, 10], (1, 10, 8)),
        ([0, 5, 8, 10], (0, 10, 8)),
        ([0, 1], (0, 1, 1)),
        ([-10, -3.5, 5.5, 10], (-10, 10, 5.5)),
        ([1, 4], (1, 4, 4)),
    ],
)
def test_scale(ratings: list[float], scale: tuple[float, float, float]) -> None:
    found = advice("d", facts([40] * 10, ratings))
    assert tuple(found[f"data.{key}"] for key in ("min_rating", "max_rating", "like")) == scale
    assert "head" not in found


def test_a_scale_without_levels() -> None:
    ratings = np.linspace(-10, 10, 5000).tolist()
    found = advice("d", facts([50] * 100, ratings))
    assert (found["data.min_rating"], found["data.max_rating"], found["data.like"]) == (-10, 10, 5)


@pytest.mark.parametrize("ratings", [None, [1.0], [5.0]])
def test_without_ratings_every_row_is_a_like(ratings: list[float] | None) -> None:
    found = advice("d", facts([40] * 10, ratings))
    for key in ("min_rating", "max_rating", "like", "events"):
        assert found[f"data.{key}"] is None
    assert (found["head"], found["goal"]) == ("ranking", "list")
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert not parse_section(Params, resolve(raw, "standard", found), "").data.rated


@pytest.mark.parametrize(
    ("kinds", "strengths"),
    [
        (["view", "cart", "purchase"], [0.1, 0.5, 1.0]),
        (["product_view", "add_to_cart", "remove_from_cart"], [0.2, 1.0, -1.0]),
        (["click"], [1.0]),
        (["like", "dislike", "Played"], [1.0, -1.0, 1.0]),
        (["pv", "fav", "cart", "buy"], [0.1, 0.5, 0.5, 1.0]),
        (["dislike"], [-1.0]),
    ],
)
def test_kinds_of_event_count_by_their_names(kinds: list[str], strengths: list[float]) -> None:
    table = pd.DataFrame({"user": "u", "item": kinds, "event": kinds}, dtype="str")
    counted = Facts()
    counted.add(table)
    assert advice("d", counted)["data.events"] == dict(zip(kinds, strengths, strict=True))


@pytest.mark.parametrize(
    ("histories", "protocol"),
    [
        ([30] * 34 + [5] * 66, (30, 10, [0, 1, 3, 5, 10, 20])),
        ([30] * 33 + [5] * 67, (3, 2, [0, 1])),
        ([29] * 100, (20, 10, [0, 1, 3, 5, 10])),
        ([19] * 100, (15, 5, [0, 1, 3, 5, 10])),
        ([14] * 100, (10, 5, [0, 1, 3, 5])),
        ([9] * 100, (6, 3, [0, 1, 3])),
        ([5] * 100, (3, 2, [0, 1])),
        ([1] * 100, (2, 1, [0, 1])),
        ([30] * 2000 + [2] * 9000, (30, 10, [0, 1, 3, 5, 10, 20])),
    ],
)
def test_protocol(histories: list[int], protocol: tuple[int, int, list[int]]) -> None:
    found = advice("d", facts(histories))
    keys = ("prepare.min_ratings", "prepare.query_size", "prepare.shots")
    assert tuple(found[key] for key in keys) == protocol


def test_limits_leave_room_for_what_is_there() -> None:
    few = facts([40] * 3)
    assert advice("d", few)["validate.min_ratings"] == 60
    assert advice("d", few)["validate.max_duplicate_share"] == 0.05
    repeated = pd.DataFrame({"user": ["u"] * 10, "item": ["i"] * 5 + list("abcde")}, dtype="str")
    counted = Facts()
    counted.add(repeated)
    assert counted.repeats() == 4
    assert counted.histories().tolist() == [6]
    assert advice("d", counted)["validate.max_duplicate_share"] == 0.5


@pytest.mark.parametrize(
    ("undescribed", "limit"), [(0.0, 0.3), (0.24, 0.3), (0.25, 0.3), (0.5, 0.6), (0.95, 1.0)]
)
def test_gaps_of_metadata_are_allowed_for(undescribed: float, limit: float) -> None:
    counted = facts([40] * 10)
    counted.undescribed["items"] = undescribed
    found = advice("d", counted)
    assert found["validate.max_unknown_items"] == limit
    assert found["validate.max_unknown_users"] == 0.3  # nothing is said of users


@pytest.mark.parametrize(
    ("users", "share"), [(100, 0.25), (375, 0.24), (600, 0.15), (943, 0.125), (9000, 0.125)]
)
def test_enough_users_choose_among_methods(users: int, share: float) -> None:
    """Of four fifths of the users, 72 if that is no more than a quarter."""
    assert advice("d", facts([40] * users))["prepare.validation_share"] == share
