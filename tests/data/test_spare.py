"""Ratings of validation users that no evaluation reads."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import torch

from coldstart.data import spare
from coldstart.data.prepared import Prepared
from coldstart.data.spare import beyond_support, spare_choices, spare_episodes


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


def test_of_many_users_some_are_asked(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    """A random choice, whatever the order of rows, of whom all that is known stays theirs."""
    whole = spare_choices(prepared, 0)
    assert whole.validation is not None
    assert whole.judged_BX is not None
    monkeypatch.setattr(spare, "MOST_USERS", whole.validation.n_users)
    assert torch.equal(spare_episodes(prepared, 0).items_BQ, whole.validation.items_BQ)
    monkeypatch.setattr(spare, "MOST_USERS", 5)
    turned = replace(prepared, ratings=prepared.ratings[::-1].reset_index(drop=True))
    for data in (prepared, turned):
        some = spare_choices(data, 0)
        assert some.validation is not None
        users_B, asked_B = whole.validation.users_B, some.validation.users_B
        assert len(asked_B) == len(set(asked_B.tolist())) == 5
        assert set(asked_B.tolist()) not in ({*users_B[:5].tolist()}, {*users_B[-5:].tolist()})
        rows_B = torch.searchsorted(users_B, asked_B)
        same = whole.validation.rows(rows_B)
        width = some.validation.items_BQ.shape[1]
        assert torch.equal(asked_B, same.users_B)
        assert torch.equal(some.validation.items_BQ, same.items_BQ[:, :width])
        assert torch.equal(some.validation.targets_BQ, same.targets_BQ[:, :width])
        assert not same.mask_BQ[:, width:].any()
        assert torch.equal(some.validation.support.items_BS, same.support.items_BS)
        assert some.judged_BX is not None
        assert torch.equal(some.judged_BX, whole.judged_BX[rows_B])


def test_who_has_nothing_to_spare_takes_nobodys_place(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = prepared.eval_episodes(0, "validation").users_B.tolist()
    rich, poor, used = users[-3:], users[:-3], prepared.episodes[["user", "item"]]
    kept = prepared.ratings.merge(used[used["user"].isin(poor)], on=["user", "item"])
    own = prepared.ratings[~prepared.ratings["user"].isin(poor)]
    monkeypatch.setattr(spare, "MOST_USERS", 3)
    found = spare_episodes(replace(prepared, ratings=pd.concat([own, kept])), 0)
    assert found.users_B.tolist() == rich


def test_without_any_the_query_of_some_has_to_do(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spare, "MOST_USERS", 3)
    judged = prepared.eval_episodes(0, "validation")
    used = prepared.ratings.merge(prepared.episodes[["user", "item"]], on=["user", "item"])
    found = spare_choices(replace(prepared, ratings=used), 0)
    assert found.validation is not None
    assert found.validation.n_users == 3
    rows_B = torch.searchsorted(judged.users_B, found.validation.users_B)
    assert torch.equal(found.validation.items_BQ, judged.items_BQ[rows_B])
    assert found.judged_BX is not None
    n_support = judged.support.items_BS.shape[1]
    assert torch.equal(found.judged_BX[:, :n_support], judged.support.items_BS[rows_B])


def test_without_any_the_query_has_to_do(prepared: Prepared) -> None:
    judged = prepared.eval_episodes(0, "validation")
    used = prepared.ratings.merge(prepared.episodes[["user", "item"]], on=["user", "item"])
    bare = replace(prepared, ratings=used)
    assert torch.equal(spare_episodes(bare, 0).items_BQ, judged.items_BQ)


def test_after_the_cut_nothing_is_read(prepared: Prepared) -> None:
    """Up to the cut, which is the second of item 20, everything is that is not in the episode."""
    judged = prepared.eval_episodes(0, "validation")
    ratings = prepared.ratings.assign(timestamp=prepared.ratings["item"] * 10)
    early = replace(prepared, ratings=ratings, summary=prepared.summary | {"cut": 200})
    found = spare_episodes(early, 0)
    left = {int(u): set(_left(prepared, row)) for row, u in enumerate(judged.users_B)}
    assert any(20 in items for items in left.values())
    read = {
        user: set(found.items_BQ[row][found.mask_BQ[row]].tolist())
        for row, user in enumerate(found.users_B.tolist())
    }
    until = {user: {item for item in items if item <= 20} for user, items in left.items()}
    assert read == {user: items for user, items in until.items() if items}


def test_lists_leave_out_what_evaluation_reads(prepared: Prepared) -> None:
    """Of users who are asked by their spare ratings: their support and their query."""
    choices, judged = spare_choices(prepared, 0), prepared.eval_episodes(0, "validation")
    assert choices.validation is not None
    assert choices.judged_BX is not None
    assert torch.equal(choices.validation.items_BQ, spare_episodes(prepared, 0).items_BQ)
    rows = {user: row for row, user in enumerate(judged.users_B.tolist())}
    for user, items_X in zip(choices.validation.users_B.tolist(), choices.judged_BX, strict=True):
        of_user = judged.rows(slice(rows[user], rows[user] + 1))
        read = [*of_user.support.items_BS[0].tolist(), *of_user.items_BQ[0].tolist()]
        assert items_X.tolist() == read


def test_who_has_nothing_to_spare_is_not_among_those_asked(prepared: Prepared) -> None:
    """Whoever comes before and after them, the others keep their own judged items."""
    judged, whole = prepared.eval_episodes(0, "validation"), spare_choices(prepared, 0)
    poor = int(judged.users_B[1])
    used = prepared.episodes[prepared.episodes["user"] == poor]
    ratings = prepared.ratings
    kept = ratings[(ratings["user"] != poor) | ratings["item"].isin(used["item"])]
    found = spare_choices(replace(prepared, ratings=kept, episodes=prepared.episodes), 0)
    assert found.validation is not None
    assert whole.judged_BX is not None
    assert found.judged_BX is not None
    others = judged.users_B != poor
    assert torch.equal(found.validation.users_B, judged.users_B[others])
    assert torch.equal(found.judged_BX, whole.judged_BX[others])


def test_a_query_that_has_to_do_is_not_left_out(prepared: Prepared) -> None:
    """What somebody is asked by stays on their list; what they are asked with does not."""
    used = prepared.ratings.merge(prepared.episodes[["user", "item"]], on=["user", "item"])
    choices = spare_choices(replace(prepared, ratings=used), 0)
    judged = prepared.eval_episodes(0, "validation")
    n_support = judged.support.items_BS.shape[1]
    assert choices.judged_BX is not None
    assert torch.equal(choices.judged_BX[:, :n_support], judged.support.items_BS)
    assert not choices.judged_BX[:, n_support:].any()


def test_beyond_the_support_lies_everything_else(prepared: Prepared) -> None:
    cold = prepared.eval_episodes(0, "cold")
    found = beyond_support(prepared, 0, cold)
    assert torch.equal(found.users_B, cold.users_B)
    assert torch.equal(found.support.items_BS, cold.support.items_BS)
    ratings = prepared.ratings.assign(target=prepared.targets(prepared.ratings, 0).numpy())
    for row, user in enumerate(found.users_B.tolist()):
        own = ratings[ratings["user"] == user]
        rest = own[~own["item"].isin(cold.support.items_BS[row].tolist())]
        seen = found.mask_BQ[row]
        assert found.items_BQ[row][seen].tolist() == rest["item"].tolist()
        assert found.targets_BQ[row][seen].tolist() == rest["target"].tolist()
