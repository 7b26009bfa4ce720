"""Ratings of validation users that no evaluation reads."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import torch

from coldstart.data import spare
from coldstart.data.prepared import Prepared
from coldstart.data.spare import spare_episodes


def _left(prepared: Prepared, row: int) -> dict[int, float]:
    """Ratings of the ``row``-th validation user of fold 0 outside of the episode, by item."""
    judged = prepared.eval_episodes(0, "validation")
    user = int(judged.users_B[row])
    ratings = prepared.ratings.assign(target=prepared.targets(prepared.ratings, 0).numpy())
    own = ratings[ratings["user"] == user].set_index("item")["target"]
    used = {*judged.items_BQ[row].tolist(), *judged.support.items_BS[row].tolist()}
    return {int(item): y for item, y in own.items() if item not in used}


def test_they_are_all_that_are_left(prepared: Prepared) -> None:
    judged = prepared.eval_episodes(0, "validation")
    left = {int(user): _left(prepared, row) for row, user in enumerate(judged.users_B)}
    found = spare_episodes(prepared, 0)
    assert found.users_B.tolist() == [user for user, ratings in left.items() if ratings]
    for row, user in enumerate(found.users_B.tolist()):
        items, targets = (t[row][found.mask_BQ[row]].tolist() for t in found[1:3])
        assert dict(zip(items, targets, strict=True)) == left[user]
        of_user = judged.support.rows(judged.users_B == user)
        assert torch.equal(found.support.items_BS[row], of_user.items_BS[0])


def test_of_many_a_sample_is_read(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = spare_episodes(prepared, 0)
    monkeypatch.setattr(spare, "MOST", 3)
    some = spare_episodes(prepared, 0)
    assert torch.equal(some.mask_BQ.sum(1), whole.mask_BQ.sum(1).clamp(max=3))
    for row in range(some.n_users):
        assert set(some.items_BQ[row].tolist()) - {0} <= set(whole.items_BQ[row].tolist())


def test_without_any_the_query_has_to_do(prepared: Prepared) -> None:
    judged = prepared.eval_episodes(0, "validation")
    used = prepared.ratings.merge(prepared.episodes[["user", "item"]], on=["user", "item"])
    bare = replace(prepared, ratings=used)
    assert torch.equal(spare_episodes(bare, 0).items_BQ, judged.items_BQ)


def test_after_the_cut_nothing_is_read(prepared: Prepared) -> None:
    ratings = prepared.ratings.assign(timestamp=pd.Series(range(len(prepared.ratings))))
    cut = len(ratings) // 2
    early = replace(prepared, ratings=ratings, summary=prepared.summary | {"cut": cut})
    found = spare_episodes(early, 0)
    for row, user in enumerate(found.users_B.tolist()):
        read = ratings[
            (ratings["user"] == user)
            & ratings["item"].isin(found.items_BQ[row][found.mask_BQ[row]].tolist())
        ]
        assert (read["timestamp"] <= cut).all()
