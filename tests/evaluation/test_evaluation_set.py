"""Whom methods are judged on and by what: likes, what no list may hold, the catalogue."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import torch

from coldstart.data import spare
from coldstart.data.prepared import Prepared
from coldstart.data.spare import spare_episodes
from coldstart.evaluation import evaluation_set as sets
from coldstart.evaluation.evaluation_set import (
    EvaluationSet,
    catalogue_of,
    evaluation_set,
    padded_items,
)
from coldstart.params import Params


def test_a_like_is_a_rating_of_the_border_or_above_that_is_no_padding(cold: EvaluationSet) -> None:
    one = cold.rows(slice(0, 1))
    mask_BQ = torch.tensor([[True, True, True, False, False]])
    ratings_BQ = torch.tensor([[4.0, 3.9, 5.0, 5.0, 1.0]]).double()
    found = replace(one, ratings_BQ=ratings_BQ, episodes=one.episodes._replace(mask_BQ=mask_BQ))
    assert found.like == 4
    assert found.liked.tolist() == [[True, False, True, False, False]]


def _rated(prepared: Prepared, ratings: dict[int, list[float]]) -> Prepared:
    """Ratings by item of as many historical users of fold 0, and a cold user's, which are 5."""
    old, cold = (prepared.role_users(0, role) for role in ("historical", "cold"))
    rows = [(old[n], item, r) for item, many in ratings.items() for n, r in enumerate(many)]
    rows += [(cold[0], item, 5.0) for item in (30, 31)]
    frame = pd.DataFrame(rows, columns=["user", "item", "rating"]).assign(timestamp=0)
    return replace(prepared, ratings=frame)


def test_the_catalogue_by_hand(prepared: Prepared) -> None:
    """By number of ratings: 5, 2, 9, 7, with three, one, two and no of the six likes.

    Before 2 lie three of six likes, so it is the first of the second third and more; before 9 four.
    """
    ratings = {5: [4.0, 5.0, 4.0], 2: [4.0, 1.0], 9: [5.0, 4.0], 7: [3.9]}
    found = catalogue_of(_rated(prepared, ratings), 0, 4.0)
    assert found.third_N[[5, 2, 9, 7]].tolist() == [0, 1, 2, 2]
    assert set(found.third_N.tolist()) == {0, 1, 2}
    assert found.third_N.bincount().tolist() == [1, 1, 59]  # what nobody rated is the tail
    times_69 = found.share_N * (8 + 61)  # add-one smoothed
    assert times_69[[5, 2, 9, 7, 30]].tolist() == pytest.approx([4, 3, 3, 2, 1])
    assert found.popular_N.nonzero()[:, 0].tolist() == [2, 5, 7, 9]  # what nobody rated is not


def test_of_as_many_ratings_the_first_rows_are_the_popular(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "POPULAR", 2)
    ratings = {5: [4.0, 5.0, 4.0], 2: [4.0, 1.0], 9: [5.0, 4.0], 7: [3.9]}
    found = catalogue_of(_rated(prepared, ratings), 0, 4.0)
    assert found.popular_N.nonzero()[:, 0].tolist() == [2, 5]


def test_where_one_item_has_the_only_like_all_after_it_is_tail(prepared: Prepared) -> None:
    found = catalogue_of(_rated(prepared, {2: [5.0], 5: [1.0]}), 0, 4.0)
    assert found.third_N[[2, 5]].tolist() == [0, 2]
    nobody = catalogue_of(_rated(prepared, {2: [1.0]}), 0, 4.0)
    assert nobody.third_N[[2, 5]].tolist() == [0, 2]


def test_lists_for_validation_users_leave_out_their_spare_ratings(
    prepared: Prepared, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many of them as there are query items, too: they are other items all the same."""
    for most in (spare.MOST, prepared.eval_episodes(0, "validation").items_BQ.shape[1]):
        monkeypatch.setattr(spare, "MOST", most)
        target, read = (
            evaluation_set(prepared, params, 0, "validation"),
            spare_episodes(prepared, 0),
        )
        assert torch.equal(read.users_B, target.episodes.users_B)  # all have some
        assert torch.equal(target.left_out_BX, read.items_BQ)
    assert evaluation_set(prepared, params, 0, "cold").left_out_BX.shape[1] == 0


def test_only_who_is_asked_has_anything_left_out(
    prepared: Prepared, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor has anybody where the query of those who are asked does both."""
    monkeypatch.setattr(spare, "MOST_USERS", 3)
    target, read = evaluation_set(prepared, params, 0, "validation"), spare_episodes(prepared, 0)
    asked_B = torch.isin(target.episodes.users_B, read.users_B)
    assert int(asked_B.sum()) == 3
    assert torch.equal(target.left_out_BX[asked_B], read.items_BQ)
    assert not target.left_out_BX[~asked_B].any()
    bare = prepared.ratings.merge(prepared.episodes[["user", "item"]], on=["user", "item"])
    query = evaluation_set(replace(prepared, ratings=bare), params, 0, "validation")
    assert query.left_out_BX.shape[1] == 0


def test_who_spares_nothing_has_nothing_left_out(prepared: Prepared, params: Params) -> None:
    episodes, ratings = prepared.episodes, prepared.ratings
    poor = int(prepared.eval_episodes(0, "validation").users_B[1])
    used = episodes.loc[episodes["user"] == poor, "item"]
    kept = ratings[(ratings["user"] != poor) | ratings["item"].isin(used)]
    target = evaluation_set(replace(prepared, ratings=kept), params, 0, "validation")
    assert not target.left_out_BX[1].any()
    assert (target.left_out_BX[[0, 2], 0] > 0).all()
    bare = ratings.merge(episodes[["user", "item"]], on=["user", "item"])
    query = evaluation_set(replace(prepared, ratings=bare), params, 0, "validation")
    assert query.left_out_BX.shape[1] == 0  # the query does both


@pytest.mark.parametrize("role", ["validation", "cold"])
def test_likes_of_validation_users_end_at_the_cut(
    prepared: Prepared, params: Params, role: sets.Role
) -> None:
    ratings = prepared.ratings.assign(timestamp=prepared.ratings["item"] * 10)
    cut = replace(prepared, ratings=ratings, summary=prepared.summary | {"cut": 200})
    for data, last in ((cut, 20 if role == "validation" else 60), (prepared, 60)):
        target = evaluation_set(data, params, 0, role)
        for user, likes_L in zip(target.episodes.users_B.tolist(), target.likes_BL, strict=True):
            own = ratings[(ratings["user"] == user) & (ratings["rating"] >= 4)]["item"]
            assert likes_L[likes_L > 0].tolist() == own[own <= last].tolist()


def test_items_are_padded_by_user() -> None:
    rows = pd.DataFrame({"user": [7, 3, 7, 5], "item": [9, 4, 2, 1]})
    found = padded_items(rows, torch.tensor([3, 4, 7]))
    assert found.tolist() == [[4, 0], [0, 0], [2, 9]]
    assert padded_items(rows[:0], torch.tensor([3, 4])).shape == (2, 0)


def test_popular_are_the_fifty_most_rated(prepared: Prepared) -> None:
    """As the catalogue of metrics says; all of the 60 items of ``tiny`` are rated."""
    assert catalogue_of(prepared, 0, 4.0).popular_N.sum() == 50
