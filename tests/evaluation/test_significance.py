"""Bootstrap against its closed form, Holm against the textbook."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from coldstart.evaluation.metrics import METRICS
from coldstart.evaluation.significance import (
    column_means,
    holm,
    interval,
    over_shots,
    p_values,
    resampled_means,
    user_table,
)

RNG = np.random.default_rng(0)


def test_the_spread_of_a_mean_is_the_standard_error() -> None:
    values = RNG.normal(size=(200, 1))
    samples = resampled_means(values, 4000, seed=1)
    assert samples.mean() == pytest.approx(values.mean(), abs=0.005)
    assert samples.std() == pytest.approx(values.std() / math.sqrt(200), rel=0.05)


def test_a_metric_that_nobody_has_gets_no_interval() -> None:
    samples = resampled_means(np.column_stack([RNG.normal(size=20), np.full(20, np.nan)]), 200, 1)
    low, high = interval(samples, 0.95)
    assert low[0] < high[0]
    assert np.isnan([low[1], high[1]]).all()


def test_the_interval_is_the_normal_one_for_many_users() -> None:
    values = RNG.normal(size=(400, 1))
    low, high = interval(resampled_means(values, 4000, seed=2), 0.95)
    half = 1.96 * values.std() / math.sqrt(400)
    assert low[0] == pytest.approx(values.mean() - half, abs=0.01)
    assert high[0] == pytest.approx(values.mean() + half, abs=0.01)


def test_columns_are_resampled_together() -> None:
    """A constant difference has no spread, however much the columns themselves vary."""
    column = RNG.normal(size=(50, 1))
    samples = resampled_means(np.hstack([column, column + 0.25]), 500, seed=0)
    assert np.ptp(samples[:, 1] - samples[:, 0]) < 1e-12


def test_a_missing_value_leaves_its_user_out_of_its_column_only() -> None:
    full = RNG.normal(size=(30, 2))
    holes = full.copy()
    holes[::3, 1] = np.nan
    samples = resampled_means(holes, 300, seed=0)
    assert samples[:, 0] == pytest.approx(resampled_means(full, 300, seed=0)[:, 0])
    assert samples[:, 1].mean() == pytest.approx(np.nanmean(holes[:, 1]), abs=0.05)


def test_a_resample_is_the_mean_of_the_users_it_drew() -> None:
    samples = resampled_means(np.eye(4), 50, seed=3)
    counts = samples * 4
    assert counts == pytest.approx(np.rint(counts))
    assert samples.sum(1) == pytest.approx(np.ones(50))


def test_the_seed_decides_everything() -> None:
    values = RNG.normal(size=(20, 3))
    assert (resampled_means(values, 700, 5) == resampled_means(values, 700, 5)).all()
    assert (resampled_means(values, 700, 5) != resampled_means(values, 700, 6)).any()


def test_rmse_is_the_root_of_the_mean_of_mse() -> None:
    assert METRICS["rmse"].per_user_column == "mse"
    assert METRICS["rmse"].finish(np.array([4.0])) == pytest.approx([2.0])
    assert METRICS["mae"].finish(np.array([4.0])) == pytest.approx([4.0])


def test_p_is_two_sided_and_never_zero() -> None:
    samples = np.column_stack([np.ones(99), np.tile([-1.0, 1.0, 1.0], 33)])
    assert p_values(samples) == pytest.approx([2 / 100, 2 * 34 / 100])


def test_the_side_of_zero_does_not_matter_to_p() -> None:
    """One of 99 lies on the other side: with the one that is added, two of a hundred, twice."""
    samples = np.r_[-1.0, np.ones(98)][:, None]
    assert p_values(samples) == pytest.approx([2 * 2 / 100])
    assert p_values(-samples) == pytest.approx([2 * 2 / 100])
    assert p_values(-np.ones((99, 1))) == pytest.approx([2 * 1 / 100])


def test_where_nothing_differs_p_is_one() -> None:
    assert p_values(np.zeros((50, 2))).tolist() == [1, 1]


def test_the_mean_of_a_column_is_that_of_its_known_values() -> None:
    nan = np.nan
    found = column_means(np.array([[1, nan, nan], [3, 4, nan]]))
    assert found[:2].tolist() == [2, 4]
    assert np.isnan(found[2])


def test_over_all_k_each_method_has_the_mean_of_its_columns() -> None:
    columns = [("a", 0), ("b", 0), ("a", 5), ("b", 5)]
    one = np.array([1.0, 10.0, 3.0, 30.0])
    assert over_shots(one, columns, ["b", "a"]).tolist() == [20, 2]
    assert over_shots(np.stack([one, 2 * one, one]), columns, ["b", "a"]).tolist() == [
        [20, 2], [40, 4], [20, 2],
    ]  # fmt: skip


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.9, 0.95]).tolist() == [1.0, 1.0]  # never more


def test_a_user_counts_once_whatever_the_seeds_and_folds() -> None:
    rows = pd.DataFrame(
        {
            "user": [1, 1, 2],
            "method": "a",
            "k": 0,
            "seed": [0, 1, 0],
            "mse": [1.0, 3.0, 5.0],
        }
    )
    table = user_table(rows, ["mse"])
    assert table.to_numpy().ravel().tolist() == [2.0, 5.0]


def test_the_order_of_rows_changes_no_table() -> None:
    """Resampling draws rows of the table, so it must not depend on who was evaluated first."""
    rows = pd.DataFrame(
        [(u, m, k, float(u + k)) for u in (2, 0, 1) for m in ("b", "a") for k in (5, 0)],
        columns=["user", "method", "k", "mse"],
    )
    table = user_table(rows, ["mse"])
    assert table.index.tolist() == [0, 1, 2]
    assert table.columns.tolist() == [("mse", m, k) for m in "ab" for k in (0, 5)]
    pd.testing.assert_frame_equal(user_table(rows.sample(frac=1, random_state=0), ["mse"]), table)


def test_a_method_without_the_metric_keeps_its_column() -> None:
    rows = pd.DataFrame({"user": [0, 0], "method": ["a", "b"], "k": 0, "mse": [1.0, np.nan]})
    table = user_table(rows, ["mse"])
    assert table.columns.tolist() == [("mse", "a", 0), ("mse", "b", 0)]
