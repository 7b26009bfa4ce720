from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

from coldstart.baselines.item_mean import ItemMean
from coldstart.baselines.ridge import Ridge
from coldstart.data.features import CategoryColumn, UserEncoder
from coldstart.data.units import Unit
from coldstart.errors import DataError
from coldstart.models.recommender import Recommender
from coldstart.served import Facts, Served

KEYS = ("", "a", "b", "c", "d")
TITLES = ("", "A", "B", "C", "D")


def served(head: str = "rating", method: Recommender | None = None) -> Served:
    gender = CategoryColumn(name="gender", shares=(0.5, 0.5), values=("F", "M"))
    facts = Facts("x", "item_mean", head, 1.0, 5.0, like=4.0, unit=Unit())
    method = method or ItemMean(torch.tensor([9.0, 3.0, 4.0, 2.0, 6.0]))
    return Served(method, facts, KEYS, TITLES, UserEncoder(columns=(gender,), dropped={}))


def user(*pairs: tuple[str, Any], **attributes: Any) -> dict[str, Any]:
    items, ratings = [p[0] for p in pairs], [p[1] for p in pairs]
    return {"items": items, "ratings": ratings, "user": attributes}


def test_the_best_unrated_items_come_first_and_the_unknown_item_never() -> None:
    (one,) = served().recommend([user(("b", 5.0))], k=2)
    assert one["recommendations"] == [
        {"item": "d", "title": "D", "score": 5.0},  # clipped to the scale
        {"item": "a", "title": "A", "score": 3.0},
    ]
    assert one["unknown_items"] == []


def test_users_of_different_lengths_in_one_batch() -> None:
    users = [user(), user(("a", 1), ("b", "2"), ("d", 3)), {"items": None, "ratings": None}]
    found = served().recommend(users, k=10)
    best = [[r["item"] for r in one["recommendations"]] for one in found]
    assert best == [["d", "b", "a", "c"], ["c"], ["d", "b", "a", "c"]]
    assert served().recommend([], k=1) == []


def test_a_user_alone_gets_what_they_get_among_others() -> None:
    """Alone is served in numpy; attributes and ratings count, and the list is as long as it can."""
    features_ND = torch.tensor([[1.0, 0.0], [1.0, 2.0], [1.0, -1.0], [1.0, 0.5], [1.0, -2.0]])
    method = Ridge(
        item_N=torch.tensor([3.0, 3.0, 3.1, 2.9, 3.2]),
        features_ND=features_ND,
        prior_FD=torch.tensor([[0.1, 0.3], [-0.2, 0.0]]),
        penalty_D=torch.tensor([1.0, 2.0]),
        noise=1.0,
    )
    of_ridge = served(method=method)
    users = [user(("a", 5.0), ("b", 2.0), gender="F"), user(gender="M"), user(("d", 1.0))]
    together = of_ridge.recommend(users, k=10)
    for one, expected in zip(users, together, strict=True):
        (found,) = of_ridge.recommend([one], k=10)
        assert found["unknown_items"] == expected["unknown_items"]
        for here, there in zip(found["recommendations"], expected["recommendations"], strict=True):
            assert here["item"] == there["item"]
            assert here["score"] == pytest.approx(there["score"], abs=1e-5)
    assert len({tuple(r["item"] for r in each["recommendations"]) for each in together}) == 3


def test_unknown_items_are_reported_and_left_out() -> None:
    (one,) = served().recommend([user(("zz", 5.0), ("d", 1.0), ("", 2.0))], k=1)
    assert one["unknown_items"] == ["zz", ""]
    assert one["recommendations"][0]["item"] == "b"


def test_the_last_rating_of_an_item_counts() -> None:
    model = served()
    known = model._requests.read(user(("a", 1.0), ("b", 2.0), ("a", 5.0)), "user 0")
    assert known.targets == {2: 2.0, 1: 5.0}


def test_the_click_head_learns_from_likes() -> None:
    known = served("click")._requests.read(user(("a", 3.5), ("b", 4.0)), "user 0")
    assert known.targets == {1: 0.0, 2: 1.0}


def likes_only() -> Served:
    facts = Facts("x", "item_mean", "ranking", None, None, like=None, unit=Unit())
    method = ItemMean(torch.tensor([9.0, 0.3, 0.4, 0.2, 0.6]))
    return Served(method, facts, KEYS, TITLES, UserEncoder(columns=(), dropped={}))


def test_without_ratings_every_item_is_a_like() -> None:
    for request in ({"items": ["d"]}, {"items": ["d"], "ratings": []}):
        (one,) = likes_only().recommend([request], k=1)
        assert [best["item"] for best in one["recommendations"]] == ["b"]
    assert likes_only()._requests.read({"items": ["d", "a"]}, "").targets == {4: 1.0, 1: 1.0}
    with pytest.raises(DataError, match=r"user 0: ratings: leave them out, this model was learnt"):
        likes_only().recommend([user(("a", 5))], k=1)


def test_a_number_is_a_key_however_it_is_written() -> None:
    keys = ("", "50", "7.0", "0051", "3", "3.0", "x 1")
    facts = Facts("x", "item_mean", "rating", 1.0, 5.0, like=4.0, unit=Unit())
    method = ItemMean(torch.arange(len(keys)).float())
    model = Served(method, facts, keys, keys, UserEncoder(columns=(), dropped={}))
    rows = {1: (50, 50.0, "50", "50.0", np.int64(50)), 2: (7, 7.0, "7", "7.00"), 3: ("0051",)}
    for row, written in {**rows, 4: ("3", 3, 3.0), 5: ("3.0",), 6: ("x 1",)}.items():
        for key in written:
            known = model._requests.read({"items": [key], "ratings": [5]}, "")
            assert known.targets == {row: 5.0}, key
    for key in (51, "x", 50.5, ""):
        assert model._requests.read({"items": [key], "ratings": [5]}, "").unknown == [str(key)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (user(("a", 6.0)), "user 0: rating 6.0 of item 'a' is not on the scale from 1 to 5"),
        (user(("a", "good")), "rating 'good' of item 'a'"),
        (user(("a", float("nan"))), "rating nan of item 'a'"),
        ({"items": ["a"], "ratings": []}, "user 0: 1 items but 0 ratings"),
        ({"items": "ab", "ratings": [1, 2]}, "user 0: items: 'ab' must be a list"),
        ({"items": {"a": 1}, "ratings": [1]}, "user 0: items: {'a': 1} must be a list"),
        ({"items": ["a"], "ratings": 5}, "user 0: ratings: 5 must be a list"),
        (user(("a", True)), "user 0: rating True of item 'a' is not on the scale"),
        (user(("a", None)), "user 0: rating None of item 'a'"),
        (user(("a", [5])), "user 0: rating [5] of item 'a'"),
        (user((["a"], 5)), "user 0: item ['a'] must be a text or a number"),
        (user((None, 5)), "user 0: item None must be"),
        (user(({"id": "a"}, 5)), "user 0: item {'id': 'a'} must be"),
        (user((False, 5)), "user 0: item False must be"),
        (user((float("inf"), 5)), "user 0: item inf must be"),
        ({"items": ["a"], "ratings": [5], "user": "alice"}, "user 0: user: 'alice' must be an"),
        ({"items": ["a"], "ratings": [5], "user": ["age", 25]}, "user 0: user: ['age', 25] must"),
        ("a", "user 0: 'a' must be an object"),
        (user(gender=[1]), "user 0: user attribute 'gender': [1] must be a text or a number"),
        (user(height=3), "user 0: user attribute 'height': unknown; known: gender"),
    ],
)
def test_a_wrong_user_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        served().recommend([wrong], k=1)


@pytest.mark.parametrize("k", [0, 1001, None, True, "3", 2.5, [3], float("nan")])
def test_k_has_bounds(k: Any) -> None:
    with pytest.raises(DataError, match=f"k: {re.escape(repr(k))} is not .* between 1 and 1000"):
        served().recommend([user()], k=k)
