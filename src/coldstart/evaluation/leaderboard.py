"""The tables of results: means with intervals, and paired comparisons of methods.

Loads no model and no torch: the tables derive from the per-user results alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from coldstart import layout
from coldstart.errors import ArtefactError, ParamsError
from coldstart.evaluation.metrics import ALL_SHOTS, METRICS, Metric, metric
from coldstart.evaluation.significance import (
    column_means,
    holm,
    interval,
    over_shots,
    p_values,
    resampled_means,
    user_table,
)
from coldstart.evaluation.summary import Summary
from coldstart.params import EvaluateParams

USERS = "users.parquet"
TABLE = "leaderboard.parquet"
COMPARISONS = "comparisons.parquet"
SEGMENTS = "segments.parquet"
SEGMENT_TABLE = "segment_table.parquet"
_DIGITS = 6


def leaderboard(
    users: pd.DataFrame, coverage: pd.DataFrame, params: EvaluateParams, seed: int
) -> pd.DataFrame:
    """Rows ``{method, k, metric, mean, low, high, n_users}`` of the cold users, in that order.

    ``k`` is ``ALL_SHOTS`` for the mean over all K. ``coverage`` has ``method, k, coverage`` per
    fold and seed; it is a property of a list of users, not of one, so its mean has no interval.
    """
    present = evaluated(users)
    table = user_table(users, [m.per_user_column for m in present])
    table = table.loc[:, table.notna().any()]
    values = table.to_numpy(dtype=float)
    samples = resampled_means(values, params.resamples, seed)
    means, n_users = np.nanmean(values, axis=0), (~np.isnan(values)).sum(0)
    parts = []
    for one in present:
        of_metric = table.columns.get_level_values(0) == one.per_user_column
        cells = [(str(c[1]), int(c[2])) for c in table.columns[of_metric]]
        names = list(dict.fromkeys(m for m, _ in cells))
        sampled, mean = one.finish(samples[:, of_metric]), one.finish(means[of_metric])
        count = n_users[of_metric]
        sampled = np.hstack([sampled, over_shots(sampled, cells, names)])
        low, high = interval(sampled, params.confidence)
        rows = pd.DataFrame(
            [*cells, *((name, ALL_SHOTS) for name in names)], columns=["method", "k"]
        )
        parts.append(
            rows.assign(
                metric=one.name,
                mean=np.hstack([mean, over_shots(mean, cells, names)]),
                low=low,
                high=high,
                n_users=np.hstack([count, over_shots(count, cells, names).round().astype(int)]),
            )
        )
    if len(coverage):
        means_of = coverage.groupby(["method", "k"])["coverage"].mean().rename("mean").reset_index()
        counts = means_of["method"].map(users.groupby("method")["user"].nunique())
        parts.append(means_of.assign(metric="coverage", low=np.nan, high=np.nan, n_users=counts))
    return _tidy(pd.concat(parts, ignore_index=True), users["method"].unique())


def evaluated(users: pd.DataFrame) -> list[Metric]:
    """The metrics of which anybody's value is known."""
    return [
        m
        for m in METRICS.values()
        if m.per_user_column in users and users[m.per_user_column].notna().any()
    ]


def _tidy(rows: pd.DataFrame, methods: Iterable[str]) -> pd.DataFrame:
    order = {name: i for i, name in enumerate(methods)}
    place = {name: i for i, name in enumerate(METRICS)}
    rows = rows.assign(_a=rows["metric"].map(place), _b=rows["method"].map(order))
    rows = rows.sort_values(["_a", "_b", "k"], ignore_index=True)
    rows[["mean", "low", "high"]] = rows[["mean", "low", "high"]].round(_DIGITS)
    return rows[["method", "k", "metric", "mean", "low", "high", "n_users"]]


def compare(
    users: pd.DataFrame,
    pairs: list[tuple[str, str]],
    of: Metric,
    params: EvaluateParams,
    seed: int,
) -> pd.DataFrame:
    """Paired differences ``a - b`` at every K of ``users``, and of the mean over all K.

    Rows ``{metric, k, a, b, mean, low, high, p, p_holm, n_users}``, the mean over all K with
    ``k = ALL_SHOTS``; Holm-adjusted over the rows of single K and over those of all apart. On whom
    a metric is undefined depends on the user's ratings, not on the method, so both sides see the
    same users.

    Raises:
        ParamsError: one side of a pair has the metric, the other has not.
    """
    _require_on_both_sides(users, pairs, of)
    table = user_table(users, [of.per_user_column]).droplevel(0, axis=1)
    shots = sorted({int(k) for k in table.columns.get_level_values("k")})
    names = sorted({name for pair in pairs for name in pair})
    columns = [(name, k) for name in names for k in shots]
    values = table.reindex(columns=pd.MultiIndex.from_tuples(columns)).to_numpy(dtype=float)
    samples = of.finish(resampled_means(values, params.resamples, seed))
    means = of.finish(column_means(values))
    present = ~np.isnan(values)
    parts = []
    for pooled in (False, True):
        at = [(name, ALL_SHOTS) for name in names] if pooled else columns
        cells = [(a, b, k) for a, b in pairs for k in ([ALL_SHOTS] if pooled else shots)]
        left = [at.index((a, k)) for a, _, k in cells]
        right = [at.index((b, k)) for _, b, k in cells]
        sampled = over_shots(samples, columns, names) if pooled else samples
        mean = over_shots(means, columns, names) if pooled else means
        known = over_shots(present, columns, names) > 0 if pooled else present
        differences = sampled[:, left] - sampled[:, right]
        low, high = interval(differences, params.confidence)
        p = p_values(differences)
        rows = pd.DataFrame(cells, columns=["a", "b", "k"]).assign(
            metric=of.name,
            mean=mean[left] - mean[right],
            low=low,
            high=high,
            p=p,
            p_holm=holm(p),
            n_users=(known[:, left] & known[:, right]).sum(0),
        )
        parts.append(rows)
    rows = pd.concat(parts, ignore_index=True)
    numbers = ["mean", "low", "high", "p", "p_holm"]
    rows[numbers] = rows[numbers].round(_DIGITS)
    return rows[["metric", "k", "a", "b", *numbers, "n_users"]]


def _require_on_both_sides(users: pd.DataFrame, pairs: list[tuple[str, str]], of: Metric) -> None:
    having = set(users.loc[users[of.per_user_column].notna(), "method"])
    for pair in pairs:
        lacking = [name for name in pair if name not in having]
        if len(lacking) == 1:
            (other,) = {*pair} - {*lacking}
            raise ParamsError(
                f"metric: {lacking[0]} has no {of.name!r} to compare with that of {other}; "
                f"name a metric that both have"
            )


def read_table(name: str, root: Path = layout.EVALUATION) -> pd.DataFrame:
    """One of the tables that ``evaluate`` wrote.

    Raises:
        ArtefactError: it is not there.
    """
    try:
        return pd.read_parquet(root / name)
    except FileNotFoundError:
        raise _missing(root / name) from None


def _missing(path: Path) -> ArtefactError:
    return ArtefactError(f"{path}: not found; run `dvc repro evaluate` first")


def leaderboard_rows(metric: str | None = None, k: int | None = None) -> pd.DataFrame:
    """The leaderboard with dataset and split, of one metric and K where they are given.

    ``k`` is ``ALL_SHOTS`` in the rows of means over all K.

    Raises:
        ArtefactError: nothing was evaluated here.
        ParamsError: no row has this metric or this K.
    """
    rows, summary = read_table(TABLE), Summary.load(layout.EVALUATION)
    for column, wanted in (("metric", metric), ("k", k)):
        if wanted is not None:
            known = list(dict.fromkeys(rows[column].tolist()))
            if wanted not in known:
                raise ParamsError(f"{column}: {wanted!r} was not evaluated; there are {known}")
            rows = rows[rows[column] == wanted]
    rows.insert(0, "dataset", summary.dataset)
    rows.insert(1, "split", summary.split)
    return rows


def compare_rows(a: str, b: str, of: str | None, *, never_validated: bool = False) -> pd.DataFrame:
    """The paired difference ``a - b`` on cold users at every K, by :func:`compare`; with split.

    Args:
        a: a method.
        b: the method to subtract.
        of: a name of ``METRICS``; None for the goal's.
        never_validated: whether to leave out who validates in another fold, and so had a say in
            what was tuned there.

    Raises:
        ArtefactError: nothing was evaluated here.
        ParamsError: an unknown method or metric, a metric that only one of the two has, or every
            cold user validates in another fold.
    """
    users, summary = read_table(USERS), Summary.load(layout.EVALUATION)
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
    wanted = summary.primary if of is None else metric(of)
    for name in (a, b):
        own = [m.name for m in evaluated(users[users["method"] == name])]
        if wanted.name not in own:
            raise ParamsError(
                f"metric: {wanted.name!r} is not known per user of {name}; there are "
                f"{', '.join(own)}"
            )
    present = users[users["method"].isin([a, b])]
    rows = compare(present, [(a, b)], wanted, summary.evaluate, summary.seed)
    rows.insert(0, "split", summary.split)
    return rows
