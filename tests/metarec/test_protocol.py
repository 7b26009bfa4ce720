"""The legacy protocol: who takes part, what counts as found, and what knowing nothing scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from coldstart.data.prepared import Prepared
from coldstart.data.sources import read_source
from coldstart.metarec import protocol

NO_TIES = torch.zeros(1, 10, dtype=torch.int64)


def falling(*ratings: float) -> tuple[Tensor, Tensor]:
    """Scores that rank the query as given, and its ratings."""
    return torch.arange(10.0, 0.0, -1.0)[None], torch.tensor([ratings])


def test_click_metrics_of_a_known_ranking() -> None:
    """Likes at ranks 2, 4 and 7: two of the top five, two of three found, first at rank 2."""
    scores_BQ, ratings_BQ = falling(1, 5, 2, 4, 3, 1, 4, 2, 3, 1)
    wanted_BQ = protocol.positives(ratings_BQ, "click", 4.0, NO_TIES)
    found = protocol.query_metrics(scores_BQ, wanted_BQ, NO_TIES)
    assert found["P@5"] == pytest.approx(2 / 5)
    assert found["R@5"] == pytest.approx(2 / 3)
    assert found["HR@5"] == 1
    # discounts 1/log2(rank + 1): ranks 2 and 4 of an ideal with ranks 1, 2 and 3
    assert found["nDCG@5"] == pytest.approx((0.630930 + 0.430677) / (1 + 0.630930 + 0.5), rel=1e-5)
    assert found["MRR@5"] == pytest.approx(1 / 2)


def test_in_rating_mode_five_of_ten_are_to_be_found() -> None:
    """However low they are, and so precision equals recall."""
    scores_BQ, ratings_BQ = falling(1, 2, 1, 2, 1, 2, 1, 2, 1, 2)
    wanted_BQ = protocol.positives(ratings_BQ, "rating", 4.0, NO_TIES)
    assert wanted_BQ.tolist() == [[False, True] * 5]
    found = protocol.query_metrics(scores_BQ, wanted_BQ, NO_TIES)
    assert found["P@5"] == found["R@5"] == pytest.approx(2 / 5)


def test_equal_ratings_on_the_border_are_drawn() -> None:
    ties_BQ = torch.arange(10)[None]
    wanted_BQ = protocol.positives(torch.full((1, 10), 3.0), "rating", 4.0, ties_BQ)
    assert wanted_BQ.tolist() == [[False] * 5 + [True] * 5]


def test_a_user_without_a_like_counts_nothing() -> None:
    scores_BQ, ratings_BQ = falling(*[3.0] * 10)
    wanted_BQ = protocol.positives(ratings_BQ, "click", 4.0, NO_TIES)
    assert set(protocol.query_metrics(scores_BQ, wanted_BQ, NO_TIES).values()) == {0.0}


def test_a_constant_scores_the_share_of_likes() -> None:
    """Ties are broken at random: precision is what drawing five of ten at random gives."""
    generator = torch.Generator().manual_seed(0)
    ratings_BQ = torch.tensor([[5.0] * 6 + [1.0] * 4]).expand(20_000, 10)
    ties, borders = torch.randint(2**31, (2, 20_000, 10), generator=generator)
    wanted_BQ = protocol.positives(ratings_BQ, "click", 4.0, borders)
    found = protocol.query_metrics(torch.zeros(20_000, 10), wanted_BQ, ties)
    assert found["P@5"] == pytest.approx(0.6, abs=0.005)
    assert found["R@5"] == pytest.approx(0.5, abs=0.005)


def test_only_users_in_the_interval_take_part(tiny_source: Path) -> None:
    source = read_source(tiny_source, "tiny")
    light = source.ratings[source.ratings["user_id"] == "u0"].head(12)
    rest = source.ratings[source.ratings["user_id"] != "u0"]
    kept = protocol.eligible(replace(source, ratings=pd.concat([light, rest])))
    assert set(kept.ratings["user_id"]) == set(rest["user_id"])


def test_a_split_is_disjoint_and_uses_every_rating_of_a_test_user(prepared: Prepared) -> None:
    data = protocol.split(prepared, seed=3)
    roles = {r: set(data.role_users(0, r)) for r in ("historical", "validation", "cold")}
    assert [len(users) for users in roles.values()] == [96, 12, 12]
    assert len(set.union(*roles.values())) == prepared.n_users
    assert set(data.history(0).users_R.tolist()) <= roles["historical"]
    episodes = data.eval_episodes(0, "cold")
    assert set(episodes.users_B.tolist()) == roles["cold"]
    counts = prepared.users["n_ratings"].to_numpy()[episodes.users_B]
    assert episodes.mask_BQ.sum(1).tolist() == [10] * 12
    assert episodes.support.mask_BS.sum(1).tolist() == (counts - 10).tolist()
    targets = data.targets(prepared.ratings, 0).numpy()
    known = prepared.ratings.assign(target=targets).set_index(["user", "item"])["target"]
    for row, user in enumerate(episodes.users_B.tolist()):
        support, query = episodes.support, episodes
        mine = [
            *support.items_BS[row][support.mask_BS[row]].tolist(),
            *query.items_BQ[row].tolist(),
        ]
        assert sorted(mine) == sorted(known[user].index)
        assert known[user][query.items_BQ[row].numpy()].tolist() == query.targets_BQ[row].tolist()
