"""Newcomers by example: who is found by a title, and who has little in common."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.evaluation.conftest import Fixed

from coldstart.data.features import UserEncoder
from coldstart.data.units import Unit
from coldstart.errors import DataError
from coldstart.examples import Newcomer, find_item, unlike_newcomers
from coldstart.models.recommender import Prediction
from coldstart.served import Facts, Served

N = 90


class Groups(Fixed):
    """Items of three kinds in turn; recommends those of the kind that was rated best."""

    def adapt(self, support: Any) -> Any:
        kind_BS = support.items_BS % 3
        said_BS = support.targets_BS * support.mask_BS
        taste_B3 = torch.stack([(said_BS * (kind_BS == kind)).sum(1) for kind in range(3)], 1)
        return {"taste_B3": taste_B3}

    def score_catalogue(self, state: Any) -> Prediction:
        kind_N = torch.arange(self.n_items) % 3
        return Prediction(state["taste_B3"][:, kind_N] - torch.arange(self.n_items) / 1000)

    def score(self, state: Any, items_BQ: Any) -> Prediction:
        return Prediction(self.score_catalogue(state).mean.gather(1, items_BQ))


def served(n_items: int = N, *, rated: bool = True) -> Served:
    facts = Facts("tiny", "groups", "rating", 1.0, 5.0, 4.0, Unit(3.0, 1.0))
    if not rated:
        facts = Facts("tiny", "groups", "ranking", None, None, None, Unit())
    keys = ["", *(f"i{row}" for row in range(1, n_items + 1))]
    titles = ["", *(f"Title {row}" for row in range(1, n_items + 1))]
    method = Groups(torch.zeros(n_items + 1))
    return Served(method, facts, keys, titles, UserEncoder(columns=(), dropped={}))


def test_three_newcomers_love_different_kinds_and_share_little() -> None:
    model = served()
    three = unlike_newcomers(model)
    kinds = [{int(key[1:]) % 3 for key in newcomer.loves} for newcomer in three]
    assert [len(kind) for kind in kinds] == [1, 1, 1]
    assert set.union(*kinds) == {0, 1, 2}
    assert [len(newcomer.loves) for newcomer in three] == [3, 3, 2]
    assert three[2].dislikes == three[0].loves[:1]
    found = model.recommend([newcomer.request(model) for newcomer in three], 10)
    lists = [{best["item"] for best in each["recommendations"]} for each in found]
    assert all(not a & b for a, b in ((lists[0], lists[1]), (lists[0], lists[2])))


def test_without_ratings_nobody_dislikes() -> None:
    model = served(rated=False)
    three = unlike_newcomers(model)
    assert [len(newcomer.loves) for newcomer in three] == [3, 3, 2]
    assert not any(newcomer.dislikes for newcomer in three)
    assert three[0].request(model) == {"items": list(three[0].loves)}
    assert len(model.recommend([newcomer.request(model) for newcomer in three], 10)) == 3
    with pytest.raises(DataError, match="dislike: tiny has no ratings"):
        Newcomer(("i1",), ("i2",)).request(model)


def test_love_is_the_best_rating_and_dislike_the_worst() -> None:
    said = Newcomer(("i1", "i2"), ("i3",)).request(served())
    assert said == {"items": ["i1", "i2", "i3"], "ratings": [5.0, 5.0, 1.0]}


@pytest.mark.parametrize("n_items", [1, 5])
def test_a_catalogue_too_small_for_three_has_one(n_items: int) -> None:
    assert len(unlike_newcomers(served(n_items))) == 1


@pytest.mark.parametrize(("text", "key"), [("i7", "i7"), ("title 7", "i7"), ("TLE 90", "i90")])
def test_an_item_is_found_by_key_or_title(text: str, key: str) -> None:
    assert find_item(served(), text) == key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nothing", "no title or key of tiny is or holds this"),
        ("itle 8", r"is in 11 titles: Title 8 \(i8\), .* and 6 more; name one by its key"),
    ],
)
def test_what_is_not_one_item_is_refused(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        find_item(served(), text)
