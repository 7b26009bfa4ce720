"""The parts of the report as plain values for its template."""

from __future__ import annotations

from typing import Any

import pandas as pd

from coldstart.evaluation.report_styles import NAMES, Styles, at, gains, signed
from coldstart.evaluation.significance import aim, gain_sign

_SIGNIFICANT = 0.05


def cards(
    summary: dict[str, Any], table: pd.DataFrame, comparisons: pd.DataFrame
) -> dict[str, Any]:
    """The headline: what the candidate scores and what it gains over the reference."""
    gate, hero = summary["gate"], summary["candidate"]["method"]
    own = at(table, gate["metric"], gate["shot"]).loc[hero]
    rows = comparisons[
        (comparisons["table"] == "vs reference")
        & (comparisons["metric"] == gate["metric"])
        & (comparisons["k"] == gate["shot"])
        & (comparisons["a"] == hero)
    ]
    gain = None
    if len(rows):
        row = gains(rows, gate["metric"]).iloc[0]
        gain = {
            "mean": signed(row["mean"]),
            "interval": f"{signed(row['low'])} to {signed(row['high'])}",
            "verdict": "better" if row["low"] > 0 else "worse" if row["high"] < 0 else "level",
        }
    checks = summary["canaries"]
    return {
        "metric": NAMES[gate["metric"]],
        "value": f"{own['mean']:.3f}",
        "interval": f"{own['low']:.3f} to {own['high']:.3f}",
        "gain": gain,
        "held": sum(check["ok"] for check in checks),
        "checks": len(checks),
        "confidence": f"{summary['evaluate']['confidence']:.0%}",
    }


def board(summary: dict[str, Any], table: pd.DataFrame, styles: Styles) -> list[dict[str, Any]]:
    """A table per metric; ``heat`` from 0 (worst honest method) to 1 (best) in each column."""
    boards = []
    for metric, name in NAMES.items():
        rows = table[table["metric"] == metric]
        if rows.empty:
            continue
        lower = gain_sign(metric) < 0
        target = 0.8 if metric == "covered@80" else None
        heat = _heat(rows, summary["canary_methods"], lower, target)
        methods = []
        for method in summary["methods"]:
            own = rows[rows["method"] == method].set_index("k")
            if own.empty:
                continue
            cells = []
            for k in summary["shots"]:
                cell, warmth = own.loc[k], heat[method, k]
                half = (cell["high"] - cell["low"]) / 2
                spread = f"±{half:.3f}" if half == half else ""
                text = f"{cell['mean']:.3f}"
                cells.append(
                    {"text": text, "spread": spread, "heat": f"{warmth:.2f}", "best": warmth == 1}
                )
            canary = method in summary["canary_methods"]
            style = styles.of(method)
            methods.append({"name": method, "cells": cells, "canary": canary, "style": style})
        hint = aim(metric)
        if target or metric == "novelty":
            hint = "80% is right" if target else "describes, does not rank"
        boards.append({"metric": metric, "name": name, "aim": hint, "methods": methods})
    return boards


def _heat(
    rows: pd.DataFrame, canaries: list[str], lower: bool, target: float | None
) -> dict[tuple[str, int], float]:
    scores = rows.set_index(["method", "k"])["mean"]
    scores = -(scores - target).abs() if target else -scores if lower else scores
    honest = scores[~scores.index.get_level_values("method").isin(canaries)]
    low, high = honest.groupby("k").quantile(0.15), honest.groupby("k").max()
    heat = {}
    for method, k in scores.index:
        value, span = scores[method, k], high[k] - low[k]
        share = (value - low[k]) / span if span > 0 else float(value >= high[k])
        heat[str(method), int(k)] = min(max(float(share), 0.0), 1.0)
    return heat


def comparison_matrix(summary: dict[str, Any], comparisons: pd.DataFrame) -> dict[str, Any]:
    """Row minus column at the gate's K, in the gate's metric."""
    better = gain_sign(summary["gate"]["metric"])
    pairs = comparisons[comparisons["table"] == "pairs"]
    names = [name for name in summary["methods"] if name not in summary["canary_methods"]]
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


def segment_groups(summary: dict[str, Any], segments: pd.DataFrame) -> list[dict[str, Any]]:
    """The candidate's gain over the reference in every segment, on a common scale."""
    own = segments[segments["method"] == summary["candidate"]["method"]]
    gated = own[own["n_users"] >= summary["evaluate"]["min_segment"]]
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
                    "gates": row["n_users"] >= summary["evaluate"]["min_segment"],
                }
            )
        large = [level for level in levels if level["gates"]]
        small = [level for level in levels if not level["gates"]]
        groups.append({"name": segment, "large": large, "small": small})
    return groups


def canary_rows(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Every check of a canary, with numbers as text."""
    digits = {"value": 4, "expected": 4, "limit": 4}
    return [
        {
            **check,
            **{key: f"{check[key]:.{n}f}" for key, n in digits.items()},
            "k": "all" if check["k"] is None else check["k"],
        }
        for check in summary["canaries"]
    ]


def data_facts(summary: dict[str, Any], validation: dict[str, Any]) -> list[tuple[str, str]]:
    """What was evaluated on, and what was left out."""
    data = summary["data"]
    facts = [
        ("dataset", str(summary["dataset"])),
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
