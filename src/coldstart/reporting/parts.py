"""The parts of the report as plain values for its template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from coldstart.evaluation.metrics import ALL_SHOTS, METRICS, Metric
from coldstart.evaluation.summary import Summary
from coldstart.reporting.styles import Styles, at, gains, signed

_SIGNIFICANT = 0.05


def cards(summary: Summary, table: pd.DataFrame, comparisons: pd.DataFrame) -> dict[str, Any]:
    """The headline: what the candidate scores and what it gains over the reference."""
    primary, hero = summary.primary, summary.candidate.method
    own = at(table, primary, ALL_SHOTS).loc[hero]
    rows = comparisons[
        (comparisons["table"] == "vs reference")
        & (comparisons["metric"] == primary.name)
        & (comparisons["k"] == ALL_SHOTS)
        & (comparisons["a"] == hero)
    ]
    gain = None
    if len(rows):
        row = gains(rows, primary).iloc[0]
        gain = {
            "mean": signed(row["mean"]),
            "interval": f"{signed(row['low'])} to {signed(row['high'])}",
            "verdict": "better" if row["low"] > 0 else "worse" if row["high"] < 0 else "level",
        }
    checks = summary.canaries
    return {
        "metric": primary.title,
        "value": f"{own['mean']:.3f}",
        "interval": f"{own['low']:.3f} to {own['high']:.3f}",
        "gain": gain,
        "held": sum(check.ok for check in checks),
        "checks": len(checks),
        "confidence": f"{summary.evaluate.confidence:.0%}",
    }


def board(summary: Summary, table: pd.DataFrame, styles: Styles) -> list[dict[str, Any]]:
    """A table per metric; ``heat`` from 0 (worst honest method) to 1 (best) in each column."""
    boards = []
    shown = [summary.primary, *(m for m in METRICS.values() if m != summary.primary)]
    for metric in shown:
        rows = table[(table["metric"] == metric.name) & (table["k"] != ALL_SHOTS)]
        if rows.empty or not metric.shown:
            continue
        heat = _heat(rows, summary.canary_methods, metric)
        methods = []
        for method in summary.methods:
            own = rows[rows["method"] == method].set_index("k")
            if own.empty:
                continue
            cells = [
                _cell(own.loc[k], heat[method, k]) if k in own.index else _UNDEFINED
                for k in summary.shots
            ]
            canary = method in summary.canary_methods
            style = styles.of(method)
            methods.append({"name": method, "cells": cells, "canary": canary, "style": style})
        hint = f"{metric.meaning}; {metric.aim}"
        boards.append(
            {"metric": metric.name, "name": metric.title, "aim": hint, "methods": methods}
        )
    return boards


_UNDEFINED = {"text": "–", "spread": "", "heat": "0.00", "best": False}
"""Where nobody has the metric: after many ratings nothing may be left to like."""


def _cell(row: Any, warmth: float) -> dict[str, Any]:
    half = (row["high"] - row["low"]) / 2
    spread = f"±{half:.3f}" if half == half else ""
    best = warmth == 1
    return {"text": f"{row['mean']:.3f}", "spread": spread, "heat": f"{warmth:.2f}", "best": best}


def _heat(
    rows: pd.DataFrame, canaries: Sequence[str], metric: Metric
) -> dict[tuple[str, int], float]:
    scores = metric.sign * rows.set_index(["method", "k"])["mean"]
    if metric.level is not None:
        scores = -(scores - metric.level).abs()
    honest = scores[~scores.index.get_level_values("method").isin(canaries)]
    low, high = honest.groupby("k").quantile(0.15), honest.groupby("k").max()
    heat = {}
    for method, k in scores.index:
        value, span = scores[method, k], high[k] - low[k]
        share = (value - low[k]) / span if span > 0 else float(value >= high[k])
        heat[str(method), int(k)] = min(max(float(share), 0.0), 1.0)
    return heat


def comparison_matrix(summary: Summary, comparisons: pd.DataFrame) -> dict[str, Any]:
    """Row minus column by the goal's metric, a mean over all K."""
    better = summary.primary.sign
    pairs = comparisons[comparisons["table"] == "pairs"]
    names = [name for name in summary.methods if name not in summary.canary_methods]
    found = {(row["a"], row["b"]): row for row in pairs.to_dict("records")}
    widest = max((abs(row["mean"]) for row in found.values()), default=0.0)
    scale = min(widest, 0.1) or 1.0
    rows = []
    for a in names:
        cells: list[dict[str, Any]] = []
        for b in names:
            sign = 1 if (a, b) in found else -1
            row = found.get((a, b)) or found.get((b, a))
            if row is None:
                cells.append({"text": "", "heat": "0", "better": True, "sure": False, "title": ""})
                continue
            mean = sign * row["mean"]
            ends = sorted((sign * row["low"], sign * row["high"]))
            title = f"{a} − {b}: {signed(mean, 4)} [{signed(ends[0], 4)}, {signed(ends[1], 4)}]"
            cells.append(
                {
                    "text": signed(mean),
                    "heat": f"{min(abs(mean) / scale, 1) ** 0.5:.2f}",
                    "better": better * mean > 0,
                    "sure": row["p_holm"] < _SIGNIFICANT,
                    "title": f"{title}, p = {row['p_holm']:.4f} after Holm",
                }
            )
        rows.append({"name": a, "cells": cells})
    return {"names": names, "rows": rows}


def segment_groups(summary: Summary, segments: pd.DataFrame) -> list[dict[str, Any]]:
    """The candidate's gain over the reference in every segment, on a common scale."""
    own = segments[segments["method"] == summary.candidate.method]
    gated = own[own["n_users"] >= summary.evaluate.min_segment]
    if own.empty or gated.empty:
        return []
    reach = float(max(gated["gain_low"].abs().max(), gated["gain_high"].abs().max())) or 1.0
    groups = []
    for segment in own["segment"].drop_duplicates():
        levels = []
        for row in own[own["segment"] == segment].to_dict("records"):
            ends = [max(-reach, min(reach, row[key])) for key in ("gain_low", "gain_high", "gain")]
            low, high, at = (f"{50 + 48 * end / reach:.1f}" for end in ends)
            tone = "better" if row["gain_low"] > 0 else "worse" if row["gain_high"] < 0 else "level"
            levels.append(
                {
                    "name": row["level"],
                    "n": row["n_users"],
                    "value": f"{row['value']:.3f}",
                    "gain": signed(row["gain"]),
                    "interval": f"{signed(row['gain_low'])} to {signed(row['gain_high'])}",
                    "low": low,
                    "width": f"{float(high) - float(low):.1f}",
                    "at": at,
                    "tone": tone,
                    "gates": row["n_users"] >= summary.evaluate.min_segment,
                }
            )
        large = [level for level in levels if level["gates"]]
        small = [level for level in levels if not level["gates"]]
        groups.append({"name": segment, "large": large, "small": small})
    return groups


def canary_rows(summary: Summary) -> list[dict[str, Any]]:
    """Every check of a canary, with numbers as text."""
    numbers = ("value", "expected", "limit")
    return [
        {
            **asdict(check),
            **{name: f"{getattr(check, name):.4f}" for name in numbers},
            "k": "all" if check.k is None else check.k,
        }
        for check in summary.canaries
    ]


def data_facts(summary: Summary, validation: dict[str, Any]) -> list[tuple[str, str]]:
    """What was evaluated on, and what was left out."""
    data = summary.data
    facts = [
        ("dataset", summary.dataset),
        ("digest", str(data["digest"])),
        ("users", f"{data['n_users']:,}"),
        ("items", f"{data['n_items']:,}"),
        ("ratings", f"{data['n_ratings']:,}"),
    ]
    facts += [
        (name.replace("_", " "), f"{value:,}")
        for name, value in data.items()
        if isinstance(value, int) and not isinstance(value, bool) and "dropped" in name
    ]
    for name, why in data.get("dropped_user_columns", {}).items():
        facts.append((f"attribute {name} dropped", str(why)))
    for fold, counts in data.get("per_fold", {}).items():
        for name, value in counts.items():
            text = (
                ", ".join(f"{n:,} {role}" for role, n in value.items())
                if isinstance(value, dict)
                else f"{value:,}"
            )
            facts.append((f"fold {fold}: {name.replace('_', ' ')}", text))
    checks = [c for suite in validation.get("suites", {}).values() for c in suite]
    facts.append(("expectations met", f"{len(checks)}"))
    return facts
