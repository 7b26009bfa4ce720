"""Write what an evaluation found: tables, summary, metrics for DVC and data for its plots."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from coldstart import layout
from coldstart.evaluation import leaderboard as board
from coldstart.evaluation.experiment import Results
from coldstart.evaluation.metrics import ALL_SHOTS, LEVELS, METRICS, PRIMARY, REFERENCE
from coldstart.evaluation.segments import segment_table
from coldstart.evaluation.summary import Canary, Summary
from coldstart.methods import CANARIES
from coldstart.params import Params


def write_results(results: Results, data: dict[str, Any], params: Params) -> None:
    """Write ``artifacts/evaluation``, ``artifacts/plots`` and ``artifacts/metrics.json``."""
    users, seed = results.users, params.seed
    cold = users[users["role"] == "cold"]
    table = board.leaderboard(cold, results.coverage, params.evaluate, seed)
    segments = segment_table(
        cold,
        results.segments,
        of=PRIMARY[params.goal],
        reference=REFERENCE[params.goal],
        resamples=params.evaluate.resamples,
        confidence=params.evaluate.confidence,
        seed=seed,
    ).round(6)
    root = layout.EVALUATION
    root.mkdir(parents=True, exist_ok=True)
    for name, frame in (
        (board.USERS, users),
        (board.SEGMENTS, results.segments),
        (board.TABLE, table),
        (board.COMPARISONS, _comparisons(cold, params)),
        (board.SEGMENT_TABLE, segments),
    ):
        frame.to_parquet(root / name, index=False)
    _summary(results, data, params).save(root)
    _write_json(layout.METRICS, _metrics(table))
    _write_plots(table, layout.PLOTS)


def _comparisons(cold: pd.DataFrame, params: Params) -> pd.DataFrame:
    """``vs reference``: each method at every K; ``pairs``: all, by the goal over all K.

    Holm's correction is over each table of one metric.
    """
    names = [str(name) for name in cold["method"].unique() if name not in CANARIES]
    reference = REFERENCE[params.goal]
    metrics = [m for m in board.evaluated(cold) if m.compared]
    parts = []
    for metric in metrics:
        having = set(cold.loc[cold[metric.per_user_column].notna(), "method"])
        against = [(name, reference) for name in names if name != reference and name in having]
        if against and reference in having:
            rows = board.compare(cold, against, metric, params.evaluate, params.seed)
            parts.append(rows.assign(table="vs reference"))
    pairs = [(a, b) for i, a in enumerate(names) for b in names[:i]]
    if pairs:
        rows = board.compare(cold, pairs, PRIMARY[params.goal], params.evaluate, params.seed)
        parts.append(rows[rows["k"] == ALL_SHOTS].assign(table="pairs"))
    return pd.concat(parts, ignore_index=True)


def _summary(results: Results, data: dict[str, Any], params: Params) -> Summary:
    users = results.users
    counts = users.groupby("role")["user"].nunique()
    return Summary(
        dataset=params.data.name,
        split=params.prepare.split,
        head=params.head,
        goal=params.goal,
        seed=params.seed,
        training_seeds=params.meta_train.seeds,
        folds=params.prepare.folds,
        shots=params.prepare.shots,
        query_size=params.prepare.query_size,
        like=params.data.scale.like,
        n_users={str(role): int(n) for role, n in counts.items()},
        methods=tuple(users["method"].unique().tolist()),
        canary_methods=CANARIES,
        candidate=results.candidate,
        evaluate=params.evaluate,
        canaries=tuple(_rounded(check) for check in results.canaries),
        data=data,
    )


def _rounded(check: Canary) -> Canary:
    values = {name: round(getattr(check, name), 6) for name in ("value", "expected", "limit")}
    return replace(check, **values)


def _metrics(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """``{method: {metric: mean over all K}}`` of what is compared: few enough for a terminal."""
    wanted = [name for name, metric in METRICS.items() if metric.compared]
    shown = table[table["metric"].isin(wanted) & (table["k"] == ALL_SHOTS)]
    out: dict[str, dict[str, float]] = {}
    for row in shown.itertuples():
        out.setdefault(str(row.method), {})[str(row.metric)] = float(str(row.mean))
    return out


def _write_plots(table: pd.DataFrame, folder: Path) -> None:
    """One CSV per plot of ``dvc.yaml``: ``k, method, mean, low, high``; and the coverage."""
    folder.mkdir(parents=True, exist_ok=True)
    table = table[table["k"] != ALL_SHOTS]
    columns = ["k", "method", "mean", "low", "high"]
    for plot in dict.fromkeys(m.plot for m in METRICS.values() if m.plot is not None):
        rows = table[table["metric"].isin([m.name for m in METRICS.values() if m.plot == plot])]
        rows[columns].to_csv(folder / f"{plot}.csv", index=False, lineterminator="\n")
    covered = table[table["metric"].isin(LEVELS)].assign(
        nominal=lambda rows: rows["metric"].map(LEVELS)
    )
    covered = covered[["nominal", *columns]]
    covered.to_csv(folder / "calibration.csv", index=False, lineterminator="\n")


def _write_json(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
