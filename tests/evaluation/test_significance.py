"""Bootstrap against its closed form, Holm against the textbook."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from coldstart.evaluation.metrics import METRICS
from coldstart.evaluation.significance import (
    holm,
    interval,
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


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])


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
