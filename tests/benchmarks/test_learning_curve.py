"""What is left of the data where fewer historical users are learnt from."""

from __future__ import annotations

import torch

import learning_curve
from coldstart.data.prepared import Prepared


def test_shares_are_nested_and_touch_historical_users_only(prepared: Prepared) -> None:
    whole = set(prepared.role_users(0, "historical"))
    kept: set[int] = set()
    for share in learning_curve.SHARES:
        part = learning_curve.thinned(prepared, 0, share, seed=0)
        users = set(part.role_users(0, "historical"))
        assert kept <= users <= whole
        assert len(users) == round(share * len(whole))
        assert set(part.history(0).users_R.tolist()) <= users
        for role in ("validation", "cold"):
            mine, theirs = part.eval_episodes(0, role), prepared.eval_episodes(0, role)
            assert torch.equal(mine.users_B, theirs.users_B)
            assert torch.equal(mine.items_BQ, theirs.items_BQ)
        kept = users
    assert kept == whole
