"""Write what an evaluation found: tables, summary, metrics for DVC and data for its plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from coldstart import layout
from coldstart.evaluation import leaderboard as board
from coldstart.evaluation.experiment import Results
from coldstart.evaluation.segments import segment_table
from coldstart.evaluation.significance import squared
from coldstart.methods import CANARIES, REFERENCE
from coldstart.params import Params

COMPARED = ("rmse", "mae", "log_loss", "ndcg@5", "recall@10", "ndcg@10")
"""Metrics on which every method is compared with the reference at every K."""
SWEEPS = ("rmse", "log_loss", "ndcg@5", "recall@10")
"""Metrics of which the K-sweep is plotted."""
_LEVELS = {"covered@50": 0.5, "covered@80": 0.8, "covered@95": 0.95}


def write_results(results: Results, data: dict[str, Any], params: Params) -> None:
    """Write ``artifacts/evaluation``, ``artifacts/plots`` and ``artifacts/metrics.json``."""
    users, seed = results.users, params.seed
    cold = users[users["role"] == "cold"]
    table = board.leaderboard(cold, results.coverage, params.evaluate, seed)
    gate = params.gate
    segments = segment_table(
        cold[cold["k"] == gate.shot],
        results.segments,
        metric=gate.metric,
        reference=REFERENCE,
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
    _write_json(root / board.SUMMARY, _summary(results, data, params))
    _write_json(layout.METRICS, _metrics(table, params))
    _write_plots(table, layout.PLOTS)


def _comparisons(cold: pd.DataFrame, params: Params) -> pd.DataFrame:
    """``vs reference``: per metric, each method at every K; ``pairs``: all, at the gate's K.

    Holm's correction is over each table of one metric.
    """
    names = [str(name) for name in cold["method"].unique() if name not in CANARIES]
    against = [(name, REFERENCE) for name in names if name != REFERENCE]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[:i]]
    metrics = [m for m in COMPARED if squared(m) in cold]
    parts = [
        board.compare(cold, against, metric, params.evaluate, params.seed).assign(
            table="vs reference"
        )
        for metric in metrics
    ]
    if pairs:
        at_shot = cold[cold["k"] == params.gate.shot]
        rows = board.compare(at_shot, pairs, params.gate.metric, params.evaluate, params.seed)
        parts.append(rows.assign(table="pairs"))
    return pd.concat(parts, ignore_index=True)


def _summary(results: Results, data: dict[str, Any], params: Params) -> dict[str, Any]:
    users = results.users
    counts = users.groupby("role")["user"].nunique()
    return {
        "dataset": params.data.name,
        "split": params.prepare.split,
        "head": params.head,
        "seed": params.seed,
        "training_seeds": list(params.meta_train.seeds),
        "folds": list(params.prepare.folds),
        "shots": list(params.prepare.shots),
        "query_size": params.prepare.query_size,
        "like": params.data.like,
        "n_users": {role: int(n) for role, n in counts.items()},
        "methods": users["method"].unique().tolist(),
        "canary_methods": list(CANARIES),
        "reference": REFERENCE,
        "candidate": results.candidate,
        "gate": {"metric": params.gate.metric, "shot": params.gate.shot},
        "evaluate": params.evaluate.model_dump(),
        "canaries": [_rounded(check._asdict()) for check in results.canaries],
        "canaries_ok": all(check.ok for check in results.canaries),
        "data": data,
    }


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in values.items()}


def _metrics(table: pd.DataFrame, params: Params) -> dict[str, dict[str, float]]:
    """``{method: {metric K=shot: mean}}`` at the gate's K: few enough to read in a terminal."""
    gate = params.gate
    wanted = [gate.metric, "ndcg@5", "recall@10"]
    shown = table[table["metric"].isin(wanted) & (table["k"] == gate.shot)]
    out: dict[str, dict[str, float]] = {}
    for row in shown.itertuples():
        out.setdefault(str(row.method), {})[f"{row.metric} K={row.k}"] = float(str(row.mean))
    return out


def _write_plots(table: pd.DataFrame, folder: Path) -> None:
    """One CSV per plot of ``dvc.yaml``: ``k, method, mean, low, high``; and the coverage."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = ["k", "method", "mean", "low", "high"]
    errors = table[table["metric"].isin(["rmse", "log_loss"])]
    for name, rows in (
        ("error", errors),
        ("ndcg_at_5", table[table["metric"] == "ndcg@5"]),
        ("recall_at_10", table[table["metric"] == "recall@10"]),
    ):
        rows[columns].to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    covered = table[table["metric"].isin(_LEVELS)].assign(
        nominal=lambda rows: rows["metric"].map(_LEVELS)
    )
    covered = covered[["nominal", *columns]]
    covered.to_csv(folder / "calibration.csv", index=False, lineterminator="\n")


def _write_json(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
