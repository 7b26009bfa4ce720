"""Degenerate datasets end in a report, or in one sentence that says what to do."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from coldstart import layout
from coldstart.errors import DataError
from coldstart.evaluation import leaderboard as board

from .datasets import KINDS, any_dataset
from .pipeline import run

REFUSED = {
    "one_user": "no validation user",
    "one_item_each": "no validation user",
    "nobody_likes": "the highest rating reaches data.like",
}
"""What some are refused for; the others end in a report."""
LISTS = ("list_recall@10", "list_ndcg@10", "recall@10")


@pytest.mark.parametrize("name", sorted(set(KINDS) - set(REFUSED)))
def test_it_ends_in_a_report(name: str, tmp_path: Path) -> None:
    run(KINDS[name](np.random.default_rng(0)), tmp_path / "project")
    root = tmp_path / "project"
    assert (root / layout.REPORT).stat().st_size > 10_000
    assert json.loads((root / layout.METRICS).read_bytes())
    users = pd.read_parquet(root / layout.EVALUATION / board.USERS)
    for metric in ("ndcg@5", "auc", *LISTS):
        if metric in users:
            values = users[metric].dropna()
            assert values.between(0, 1).all(), metric
    assert users["ndcg@5"].notna().all()
    assert np.isfinite(users["mse"]).all()


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_it_is_refused_in_words(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=REFUSED[name]):
        run(KINDS[name](np.random.default_rng(0)), tmp_path / "project")


def test_equal_ratings_are_predicted_exactly(tmp_path: Path) -> None:
    run(KINDS["constant"](np.random.default_rng(0)), tmp_path / "project")
    users = pd.read_parquet(tmp_path / "project" / layout.EVALUATION / board.USERS)
    exact = users[~users["method"].isin(["random", "melu"])]
    assert exact["mse"].max() < 1e-3
    assert math.isfinite(exact["nll"].max())


def test_a_dataset_is_its_seed() -> None:
    first, again, other = (any_dataset(seed) for seed in (3, 3, 4))
    assert dict(first.params) == dict(again.params)
    for name, table in first.tables.items():
        pd.testing.assert_frame_equal(table, again.tables[name])
    assert not first.tables["inter"].equals(other.tables["inter"])
