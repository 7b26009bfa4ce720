"""Leaderboard, comparisons and segments on results small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from coldstart.data.prepared import Prepared
from coldstart.errors import ArtefactError, ParamsError
from coldstart.evaluation import leaderboard as board
from coldstart.evaluation.metrics import ALL_SHOTS, METRICS
from coldstart.evaluation.segments import segment_table, terciles, user_segments
from coldstart.params import EvaluateParams

PARAMS = EvaluateParams(resamples=400, confidence=0.9, catalogue_users=9, min_segment=2)


def results(n: int = 40) -> pd.DataFrame:
    """``b`` has an MSE of exactly 1 more than ``a``; the AUC of one user is undefined."""
    mse = np.random.default_rng(0).uniform(0.5, 1.5, n)
    frames = []
    for k in (0, 5):
        for method, plus in (("bias", 0.0), ("b", 1.0)):
            auc = np.r_[np.nan, np.full(n - 1, 0.7)]
            values = {"mse": mse + plus, "mae": np.sqrt(mse + plus), "auc": auc}
            frames.append(pd.DataFrame({"method": method, "user": range(n), "k": k, **values}))
    return pd.concat(frames, ignore_index=True)


def coverage() -> pd.DataFrame:
    return pd.DataFrame({"method": ["bias", "bias"], "k": [0, 0], "coverage": [0.2, 0.4]})


def test_the_leaderboard_by_hand() -> None:
    users = results()
    table = board.leaderboard(users, coverage(), PARAMS, seed=0).set_index(
        ["method", "k", "metric"]
    )
    mse = users[(users["method"] == "b") & (users["k"] == 0)]["mse"]
    row = table.loc[("b", 0, "rmse")]
    assert row["mean"] == pytest.approx(np.sqrt(mse.mean()), abs=1e-6)
    half = 1.645 * mse.std() / np.sqrt(len(mse)) / (2 * row["mean"])  # the delta method
    assert row["high"] - row["low"] == pytest.approx(2 * half, rel=0.15)
    assert table.loc[("b", 0, "auc")]["n_users"] == 39
    assert table.loc[("bias", 0, "coverage")]["mean"] == pytest.approx(0.3)
    assert "nll" not in table.index.get_level_values("metric")


def test_a_leaderboard_goes_by_metric_then_method_then_k() -> None:
    """Metrics as their catalogue has them, methods as they were evaluated."""
    table = board.leaderboard(results(), coverage(), PARAMS, seed=0)
    assert table.index.tolist() == list(range(len(table)))
    places = [
        (list(METRICS).index(row.metric), ["bias", "b"].index(row.method), row.k)
        for row in table.itertuples()
    ]
    assert places == sorted(places)
    assert len(set(places)) == len(places)


def test_a_comparison_is_paired() -> None:
    """The levels vary by user, the difference of the MSE does not; that of its root hardly."""
    rows = board.compare(results(), [("b", "bias")], METRICS["rmse"], PARAMS, seed=0)
    assert rows["k"].tolist() == [0, 5, ALL_SHOTS]
    row = rows.iloc[0]
    assert row["low"] < row["mean"] < row["high"]
    assert row["high"] - row["low"] < 0.05
    back = board.compare(results(), [("bias", "b")], METRICS["rmse"], PARAMS, seed=0).iloc[0]
    assert back["mean"] == pytest.approx(-row["mean"])
    assert back["low"] == pytest.approx(-row["high"])


def test_holm_corrects_over_the_whole_table() -> None:
    rows = board.compare(results(), [("b", "bias")], METRICS["mae"], PARAMS, seed=0)
    assert rows["p_holm"].tolist() == pytest.approx([2 * 2 / 401] * 2 + [2 / 401], abs=1e-6)


def test_over_all_k_a_user_counts_by_the_mean() -> None:
    """``b`` is ahead by 1 at K=0 and by 3 at K=5: by 2 over both, paired by user."""
    users = results().assign(mae=lambda rows: rows["user"] + 0.0)
    later = users["method"].eq("b") & users["k"].eq(5)
    users["mae"] += users["method"].eq("b") * 1.0 + later * 2.0
    rows = board.compare(users, [("b", "bias")], METRICS["mae"], PARAMS, seed=0).set_index("k")
    assert rows.loc[[0, 5, ALL_SHOTS], "mean"].tolist() == [1.0, 3.0, 2.0]
    assert rows.loc[ALL_SHOTS, ["low", "high"]].tolist() == [2.0, 2.0]
    table = board.leaderboard(users, coverage(), PARAMS, seed=0).set_index(
        ["method", "k", "metric"]
    )
    means = [table.loc[("b", k, "mae")]["mean"] for k in (0, 5, ALL_SHOTS)]
    assert means[2] == pytest.approx(sum(means[:2]) / 2)


@pytest.mark.parametrize("pair", [("b", "bias"), ("bias", "b")])
def test_a_metric_that_one_side_lacks_is_refused(pair: tuple[str, str]) -> None:
    users = results()
    users["nll"] = np.where(users["method"] == "b", users["mse"], np.nan)
    with pytest.raises(ParamsError, match="bias has no 'nll' to compare with that of b"):
        board.compare(users, [pair], METRICS["nll"], PARAMS, seed=0)


def test_a_segment_by_hand() -> None:
    users = results(4)
    segments = pd.DataFrame({"user": range(4), "gender": ["F", "F", "M", "M"]})
    table = segment_table(
        users[users["k"] == 5],
        segments,
        of=METRICS["rmse"],
        reference="bias",
        resamples=200,
        confidence=0.9,
        seed=0,
    ).set_index(["level", "method"])
    mse = users[(users["method"] == "bias") & (users["k"] == 5)]["mse"].to_numpy()
    gain = np.sqrt(mse[:2].mean()) - np.sqrt(mse[:2].mean() + 1)
    assert table.loc[("F", "b")]["gain"] == pytest.approx(gain)
    assert table.loc[("F", "b")]["n_users"] == 2
    assert table.loc[("M", "bias")]["gain"] == 0


def test_terciles_are_named_by_their_range() -> None:
    named = terciles(np.array([1.0, 9, 2, 8, 5, 5]), "{} ratings")
    assert named == [
        "1–2 ratings", "8–9 ratings", "1–2 ratings", "8–9 ratings", "5 ratings", "5 ratings",
    ]  # fmt: skip


def test_segments_come_from_the_columns_of_the_data(prepared: Prepared) -> None:
    segments = user_segments(prepared, 0)
    assert {"user", "age", "gender", "activity", "popular items"} == set(segments.columns)
    assert set(segments["gender"]) == {"F", "M"}
    assert segments["user"].is_unique


def test_without_an_evaluation_it_says_what_to_run(
    tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    with pytest.raises(ArtefactError, match="run `dvc repro evaluate` first"):
        board.compare_rows("a", "b", "rmse")
    with pytest.raises(ArtefactError, match="run `dvc repro evaluate` first"):
        board.leaderboard_rows()
