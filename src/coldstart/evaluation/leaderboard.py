"""The tables of results: means with intervals, and paired comparisons of methods.

Loads no model and no torch: the tables derive from the per-user results alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from coldstart import layout
from coldstart.errors import ArtefactError, ParamsError
from coldstart.evaluation.significance import (
    Floats,
    finish,
    holm,
    interval,
    p_values,
    resampled_means,
    squared,
    user_table,
)
from coldstart.params import EvaluateParams

METRICS = (
    "rmse", "mae", "log_loss", "ndcg@5", "auc", "recall@10", "ndcg@10", "mrr@10", "novelty",
    "coverage", "nll", "covered@50", "covered@80", "covered@95",
)  # fmt: skip
"""Every metric of the leaderboard; rmse is the root of the mean over users of the per-user mse."""
USERS = "users.parquet"
TABLE = "leaderboard.parquet"
COMPARISONS = "comparisons.parquet"
SEGMENTS = "segments.parquet"
SEGMENT_TABLE = "segment_table.parquet"
SUMMARY = "summary.json"
_DIGITS = 6


def leaderboard(
    users: pd.DataFrame, coverage: pd.DataFrame, params: EvaluateParams, seed: int
) -> pd.DataFrame:
    """Rows ``{method, k, metric, mean, low, high, n_users}`` of the cold users, in that order.

    ``coverage`` has ``method, k, coverage`` per fold and seed; it is a property of a list of users,
    not of one, so its mean has no interval.
    """
    present = [m for m in METRICS if squared(m) in users and users[squared(m)].notna().any()]
    table = user_table(users, [squared(m) for m in present])
    table = table.loc[:, table.notna().any()]
    values = table.to_numpy(dtype=float)
    samples = resampled_means(values, params.resamples, seed)
    means, n_users = np.nanmean(values, axis=0), (~np.isnan(values)).sum(0)
    parts = []
    for metric in present:
        of_metric = table.columns.get_level_values(0) == squared(metric)
        low, high = interval(finish(metric, samples[:, of_metric]), params.confidence)
        index = table.columns[of_metric].to_frame(index=False)[["method", "k"]]
        mean = finish(metric, means[of_metric])
        parts.append(
            index.assign(metric=metric, mean=mean, low=low, high=high, n_users=n_users[of_metric])
        )
    if len(coverage):
        means_of = coverage.groupby(["method", "k"])["coverage"].mean().rename("mean").reset_index()
        counts = means_of["method"].map(users.groupby("method")["user"].nunique())
        parts.append(means_of.assign(metric="coverage", low=np.nan, high=np.nan, n_users=counts))
    return _tidy(pd.concat(parts, ignore_index=True), users["method"].unique())


def _tidy(rows: pd.DataFrame, methods: Iterable[str]) -> pd.DataFrame:
    order = {name: i for i, name in enumerate(methods)}
    metric = {name: i for i, name in enumerate(METRICS)}
    rows = rows.assign(_a=rows["metric"].map(metric), _b=rows["method"].map(order))
    rows = rows.sort_values(["_a", "_b", "k"], ignore_index=True)
    rows[["mean", "low", "high"]] = rows[["mean", "low", "high"]].round(_DIGITS)
    return rows[["method", "k", "metric", "mean", "low", "high", "n_users"]]


def compare(
    users: pd.DataFrame,
    pairs: list[tuple[str, str]],
    metric: str,
    params: EvaluateParams,
    seed: int,
) -> pd.DataFrame:
    """Paired differences ``a - b`` at every K of ``users``, Holm-adjusted over all of them.

    Rows ``{metric, k, a, b, mean, low, high, p, p_holm, n_users}``. On whom a metric is undefined
    depends on the user's ratings, not on the method, so both sides see the same users.

    Raises:
        ParamsError: one side of a pair has the metric, the other has not.
    """
    _require_on_both_sides(users, pairs, metric)
    table = user_table(users, [squared(metric)]).droplevel(0, axis=1)
    shots = sorted({int(k) for k in table.columns.get_level_values("k")})
    columns = [(m, k) for m in sorted({name for pair in pairs for name in pair}) for k in shots]
    values = table.reindex(columns=pd.MultiIndex.from_tuples(columns)).to_numpy(dtype=float)
    samples = finish(metric, resampled_means(values, params.resamples, seed))
    means = finish(metric, _column_means(values))
    cells = [(a, b, k) for a, b in pairs for k in shots]
    left = [columns.index((a, k)) for a, _, k in cells]
    right = [columns.index((b, k)) for _, b, k in cells]
    differences = samples[:, left] - samples[:, right]
    low, high = interval(differences, params.confidence)
    p = p_values(differences)
    both = (~np.isnan(values[:, left]) & ~np.isnan(values[:, right])).sum(0)
    rows = pd.DataFrame(cells, columns=["a", "b", "k"]).assign(
        metric=metric,
        mean=means[left] - means[right],
        low=low,
        high=high,
        p=p,
        p_holm=holm(p),
        n_users=both,
    )
    numbers = ["mean", "low", "high", "p", "p_holm"]
    rows[numbers] = rows[numbers].round(_DIGITS)
    return rows[["metric", "k", "a", "b", *numbers, "n_users"]]


def _require_on_both_sides(users: pd.DataFrame, pairs: list[tuple[str, str]], metric: str) -> None:
    having = set(users.loc[users[squared(metric)].notna(), "method"])
    for pair in pairs:
        lacking = [name for name in pair if name not in having]
        if len(lacking) == 1:
            (other,) = {*pair} - {*lacking}
            raise ParamsError(
                f"metric: {lacking[0]} has no {metric!r} to compare with that of {other}; "
                f"name a metric that both have"
            )


def _column_means(values: Floats) -> Floats:
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        means: Floats = np.where(present, values, 0.0).sum(0) / present.sum(0)
    return means


def read_table(name: str, root: Path = layout.EVALUATION) -> pd.DataFrame:
    """One of the tables that ``evaluate`` wrote.

    Raises:
        ArtefactError: it is not there.
    """
    try:
        return pd.read_parquet(root / name)
    except FileNotFoundError:
        raise _missing(root / name) from None


def read_summary(root: Path = layout.EVALUATION) -> dict[str, Any]:
    """What ``evaluate`` said besides the tables: dataset, split, candidate, canaries.

    Raises:
        ArtefactError: it is not there.
    """
    try:
        text = (root / SUMMARY).read_bytes()
    except FileNotFoundError:
        raise _missing(root / SUMMARY) from None
    summary: dict[str, Any] = json.loads(text)
    return summary


def _missing(path: Path) -> ArtefactError:
    return ArtefactError(f"{path}: not found; run `dvc repro evaluate` first")


def leaderboard_rows(metric: str | None = None, k: int | None = None) -> pd.DataFrame:
    """The leaderboard with dataset and split, of one metric and K where they are given.

    Raises:
        ArtefactError: nothing was evaluated here.
        ParamsError: no row has this metric or this K.
    """
    rows, summary = read_table(TABLE), read_summary()
    for column, wanted in (("metric", metric), ("k", k)):
        if wanted is not None:
            known = list(dict.fromkeys(rows[column].tolist()))
            if wanted not in known:
                raise ParamsError(f"{column}: {wanted!r} was not evaluated; there are {known}")
            rows = rows[rows[column] == wanted]
    rows.insert(0, "dataset", summary["dataset"])
    rows.insert(1, "split", summary["split"])
    return rows


def compare_rows(a: str, b: str, metric: str, *, never_validated: bool = False) -> pd.DataFrame:
    """The paired difference ``a - b`` on cold users at every K, by :func:`compare`; with split.

    Args:
        a: a method.
        b: the method to subtract.
        metric: a name of ``METRICS``.
        never_validated: whether to leave out who validates in another fold, and so had a say in
            what was tuned there.

    Raises:
        ArtefactError: nothing was evaluated here.
        ParamsError: an unknown method or metric, a metric that only one of the two has, or every
            cold user validates in another fold.
    """
    users, summary = read_table(USERS), read_summary()
    validating = users.loc[users["role"] == "validation", "user"]
    users = users[users["role"] == "cold"]
    if never_validated:
        users = users[~users["user"].isin(validating)]
        if users.empty:
            raise ParamsError("never_validated: every cold user validates in another fold")
    known = users["method"].unique().tolist()
    for name in (a, b):
        if name not in known:
            raise ParamsError(f"method: {name!r} was not evaluated; there are {known}")
    present = users[users["method"].isin([a, b])]
    metrics = [m for m in METRICS if squared(m) in users and present[squared(m)].notna().any()]
    if metric not in metrics:
        raise ParamsError(f"metric: {metric!r} is not known per user; there are {metrics}")
    params = EvaluateParams.model_validate(summary["evaluate"])
    rows = compare(present, [(a, b)], metric, params, int(summary["seed"]))
    rows.insert(0, "split", summary["split"])
    return rows
