"""The lists that a size of ``list`` is chosen by, and that evaluation's ratings are not in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from coldstart.data.prepared import Prepared
from coldstart.models.recommender import Recommender
from coldstart.training.listing import Lists


def lists_asked(patch: pytest.MonkeyPatch) -> list[Lists]:
    """Filled with what every choice of a size is made by; the smallest is taken."""
    asked: list[Lists] = []

    def first(sizes: Sequence[int], make: Callable[[int], Recommender], lists: Lists) -> int:
        asked.append(lists)
        return sizes[0]

    patch.setattr("coldstart.combinations.list.smallest_good", first)
    return asked


def assert_unjudged(lists: Lists, prepared: Prepared, fold: int) -> None:
    """What is right is spare, and left out is what each user is evaluated with, all of it."""
    rows = prepared.episodes[prepared.episodes["fold"] == fold]
    judged = rows.groupby("user")["item"].agg(set)
    users, left_out_BX = lists.episodes, lists.left_out_BX
    assert users.n_users > 1
    columns = (users.users_B, users.items_BQ, users.mask_BQ, left_out_BX)
    for user, items_Q, mask_Q, left_out_X in zip(*columns, strict=True):
        assert not judged[int(user)] & set(items_Q[mask_Q].tolist())
        assert set(left_out_X.tolist()) == judged[int(user)]
