"""The charts of the report: sweeps over K and the calibration of intervals."""

from __future__ import annotations

from typing import Any

import pandas as pd

from coldstart.evaluation.significance import aim
from coldstart.reporting.charts import Chart, Line, reliability, sweep
from coldstart.reporting.styles import NAMES, Styles, at, gains

_LEVELS = {"covered@50": 0.5, "covered@80": 0.8, "covered@95": 0.95}


def sweeps(
    summary: dict[str, Any], table: pd.DataFrame, comparisons: pd.DataFrame, styles: Styles
) -> list[Chart]:
    """The gate's metric, its gain over the reference, and two rankings, over K."""
    primary = summary["gate"]["metric"]
    honest = [name for name in summary["methods"] if name not in summary["canary_methods"]]
    charts = [
        sweep(
            f"{NAMES[primary]} by number of ratings",
            f"{aim(primary)}; band: the candidate's interval over users",
            _lines(table[table["metric"] == primary], honest, styles, {styles.hero}),
        )
    ]
    paired = comparisons[
        (comparisons["table"] == "vs reference") & (comparisons["metric"] == primary)
    ]
    gained = gains(paired, primary).assign(method=paired["a"])
    loud = {styles.hero, *styles.rivals}
    lines = _lines(gained, [name for name in honest if name != styles.reference], styles, loud)
    title = f"{NAMES[primary]} gained over {styles.reference}"
    charts.append(sweep(title, "above 0 is better; bands: paired intervals", lines, zero=True))
    for metric in ("ndcg@5", "recall@10"):
        if metric == primary:
            continue
        rows = table[table["metric"] == metric]
        notes = {"ndcg@5": "ranking the query", "recall@10": "ranking the whole catalogue"}
        title = f"{NAMES[metric]} by number of ratings"
        note = f"{notes[metric]}; higher is better"
        top = at(table, metric, summary["gate"]["shot"])["mean"].reindex(honest).idxmax()
        charts.append(sweep(title, note, _lines(rows, honest, styles, {styles.hero}, str(top))))
    return charts


def _lines(
    rows: pd.DataFrame, methods: list[str], styles: Styles, banded: set[str], top: str = ""
) -> list[Line]:
    """``top`` is named even if it is none of the methods that the report speaks about."""
    lines = []
    for method in methods:
        own = rows[rows["method"] == method].sort_values("k")
        if own.empty:
            continue
        band = method in banded and bool(own["low"].notna().all())
        low, high = (own["low"].tolist(), own["high"].tolist()) if band else ((), ())
        x, y = own["k"].astype(float).tolist(), own["mean"].tolist()
        style = styles.of(method)
        style = "best" if method == top and style == "rest" else style
        lines.append(Line(method, x, y, low, high, style))
    return lines


def calibration(summary: dict[str, Any], table: pd.DataFrame, styles: Styles) -> Chart | None:
    """Reliability of the predictive intervals at the gate's K, of the methods that have any."""
    shot = summary["gate"]["shot"]
    rows = table[table["metric"].isin(_LEVELS) & (table["k"] == shot)]
    rows = rows.assign(k=rows["metric"].map(_LEVELS))
    lines = _lines(rows, summary["methods"], styles, set(rows["method"]))
    if not lines:
        return None
    note = f"K={shot}; on the diagonal an interval holds what it promises"
    return reliability("Calibration of predictive intervals", note, lines)
