"""Differences between two checkouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import before
from before import differences
from coldstart.errors import EvaluationError


def _errors(values: list[list[float]], users: list[int]) -> pd.DataFrame:
    index = pd.MultiIndex.from_tuples([(0, user) for user in users])
    return pd.DataFrame(values, index=index, columns=[0, 5])


def test_a_difference_is_of_roots_of_means() -> None:
    here = _errors([[1.0, 4.0], [7.0, 4.0]], [1, 2])
    there = _errors([[1.0, 1.0], [1.0, 1.0]], [1, 2])
    found, low, high = differences(here, there, 2000, seed=0)
    np.testing.assert_allclose(found, [1.0, 1.0])
    np.testing.assert_allclose([low[1], high[1]], [1.0, 1.0])  # no user differs
    np.testing.assert_allclose([low[0], high[0]], [0.0, 7**0.5 - 1])


def test_other_users_are_no_comparison() -> None:
    one = _errors([[1.0, 1.0]], [1])
    with pytest.raises(EvaluationError, match="other users"):
        differences(one, _errors([[1.0, 1.0]], [2]), 10, seed=0)


def _results(folder: Path, mse: dict[int, list[list[float]]]) -> Path:
    """Of method ``maml``: by seed, for users 1, 2, ... squared errors at K = 0 and 5."""
    rows = [
        {"method": "maml", "fold": 0, "seed": seed, "role": "cold", "user": u, "k": k, "mse": value}
        for seed, users in mse.items()
        for u, values in enumerate(users, 1)
        for k, value in zip((0, 5), values, strict=True)
    ]
    path = folder / before.RESULTS
    path.parent.mkdir(parents=True)
    validation = [row | {"role": "validation", "mse": 99.0} for row in rows]
    pd.DataFrame([*rows, *validation]).to_parquet(path)
    return folder


def test_seeds_are_averaged_before_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's squared error is the mean over seeds: at K = 0 here 4 and 16, mean 10; there 1."""
    mine = {seed: [[first, 9.0], [16.0, 9.0]] for seed, first in enumerate((1.0, 4.0, 7.0))}
    older = _results(tmp_path / "older", {seed: [[1.0, 4.0], [1.0, 4.0]] for seed in mine})
    monkeypatch.chdir(_results(tmp_path / "here", mine))
    found = before.table(older, ["maml"], 2000, seed=0)
    head, _, row = found.partition("| maml |")
    low, mean, high = 4**0.5 - 1, 10**0.5 - 1, 16**0.5 - 1  # both users alike, and as they are
    assert f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]" in row
    assert "+1.0000 [+1.0000, +1.0000]" in row
    assert "2 cold users, folds: 0;" in head
    assert "are averaged: 0, 1, 2." in head


def test_other_seeds_are_no_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their luck is another one, and a mean over three has less of it than a single run."""
    one, same = [[1.0, 4.0]], [[1.0, 4.0]]
    older = _results(tmp_path / "older", {0: one})
    monkeypatch.chdir(_results(tmp_path / "here", {0: same, 1: same, 2: same}))
    with pytest.raises(EvaluationError, match=r"maml: .*other folds or seeds.*\(0, 2\).* here and"):
        before.table(older, ["maml"], 10, seed=0)
