"""The charts of the report: sweeps over K and the calibration of intervals."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from coldstart.evaluation.metrics import ALL_SHOTS, LEVELS, METRICS
from coldstart.evaluation.summary import Summary
from coldstart.reporting.charts import Chart, Line, reliability, sweep
from coldstart.reporting.styles import Styles, at, gains


def sweeps(
    summary: Summary, table: pd.DataFrame, comparisons: pd.DataFrame, styles: Styles
) -> list[Chart]:
    """The goal's metric and its gain over the reference over K, then the other plotted ones."""
    primary = summary.primary
    table = table[table["k"] != ALL_SHOTS]
    honest = [name for name in summary.methods if name not in summary.canary_methods]
    charts = [
        sweep(
            f"{primary.title} by number of ratings",
            f"{primary.aim}; band: the candidate's interval over users",
            _lines(table[table["metric"] == primary.name], honest, styles, {styles.hero}),
        )
    ]
    paired = comparisons[
        (comparisons["table"] == "vs reference")
        & (comparisons["metric"] == primary.name)
        & (comparisons["k"] != ALL_SHOTS)
    ]
    gained = gains(paired, primary).assign(method=paired["a"])
    loud = {styles.hero, *styles.rivals}
    lines = _lines(gained, [name for name in honest if name != styles.reference], styles, loud)
    if lines:
        title = f"{primary.title} gained over {styles.reference}"
        charts.append(sweep(title, "above 0 is better; bands: paired intervals", lines, zero=True))
    for metric in METRICS.values():
        rows = table[table["metric"] == metric.name]
        if metric.plot is None or metric == primary or rows.empty:
            continue
        last = at(table, metric, summary.shots[-1])["mean"].reindex(honest).dropna()
        best = last.min() if metric.sign < 0 else last.max()
        top = next((str(name) for name in last.index[last == best]), "")  # nobody's with no value
        charts.append(
            sweep(
                f"{metric.title} by number of ratings",
                metric.aim,
                _lines(rows, honest, styles, {styles.hero}, top),
            )
        )
    return charts


def _lines(
    rows: pd.DataFrame, methods: Sequence[str], styles: Styles, banded: set[str], top: str = ""
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


def calibration(summary: Summary, table: pd.DataFrame, styles: Styles) -> Chart | None:
    """Reliability of the predictive intervals over all K, of the methods that have any."""
    rows = table[table["metric"].isin(LEVELS) & (table["k"] == ALL_SHOTS)]
    rows = rows.assign(k=rows["metric"].map(LEVELS))
    lines = _lines(rows, summary.methods, styles, set(rows["method"]))
    if not lines:
        return None
    note = "means over all K; on the diagonal an interval holds what it promises"
    return reliability("Calibration of predictive intervals", note, lines)
