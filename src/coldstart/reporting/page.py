"""The report: one self-contained page, and the leaderboard as Markdown.

Everything is read from what ``evaluate`` wrote; nothing here computes a result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from coldstart.evaluation.metrics import ALL_SHOTS, METRICS
from coldstart.evaluation.summary import Summary
from coldstart.reporting.page_charts import calibration, sweeps
from coldstart.reporting.parts import (
    board,
    canary_rows,
    cards,
    comparison_matrix,
    data_facts,
    segment_groups,
)
from coldstart.reporting.styles import Styles

_PAGES = Path(__file__).parent / "pages"
STAMP = "<!-- coldstart:stamp -->"
"""Where the registry puts identity and cost of a run, on a copy of the report."""


class Found(NamedTuple):
    """What ``evaluate`` wrote."""

    summary: Summary
    table: pd.DataFrame
    comparisons: pd.DataFrame
    segments: pd.DataFrame


def render_report(found: Found, validation: dict[str, Any], params: dict[str, Any]) -> str:
    """The page as HTML; ``params`` are the sections that decided the results."""
    environment = Environment(
        loader=FileSystemLoader(_PAGES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    styles = Styles.choose(found.summary, found.table)
    return environment.get_template("report.html").render(
        summary=found.summary,
        stamp=STAMP,
        styles=styles,
        cards=cards(found.summary, found.table, found.comparisons),
        charts=sweeps(found.summary, found.table, found.comparisons, styles),
        boards=board(found.summary, found.table, styles),
        matrix=comparison_matrix(found.summary, found.comparisons),
        calibration=calibration(found.summary, found.table, styles),
        segments=segment_groups(found.summary, found.segments),
        canaries=canary_rows(found.summary),
        facts=data_facts(found.summary, validation),
        params=params,
    )


def render_markdown(found: Found) -> str:
    """The board as Markdown: the goal's metric at every K, then means over all K."""
    summary = found.summary
    table = found.table[~found.table["method"].isin(summary.canary_methods)]
    others = [m for m in METRICS.values() if m.compared and m != summary.primary]
    present = set(table["metric"])
    columns = [(summary.primary, k) for k in (*summary.shots, ALL_SHOTS)]
    columns += [(metric, ALL_SHOTS) for metric in others if metric.name in present]
    cells = table.set_index(["method", "metric", "k"])["mean"]
    heads = [f"{m.name} {'all K' if k == ALL_SHOTS else f'K={k}'}" for m, k in columns]
    lines = [f"| method | {' | '.join(heads)} |", f"|---{'|--:' * len(heads)}|"]
    best = {
        (m.name, k): cells.xs((m.name, k), level=("metric", "k")).agg(
            "min" if m.sign < 0 else "max"
        )
        for m, k in columns
    }
    for method in table["method"].unique():
        texts = []
        for m, k in columns:
            value = float(cells.get((method, m.name, k), float("nan")))
            mark = "**" if value == best[m.name, k] else ""
            texts.append(f"{mark}{value:.3f}{mark}" if value == value else "")
        lines.append(f"| {method} | {' | '.join(texts)} |")
    note = (
        f"{summary.dataset}, {summary.split} split, {summary.n_users['cold']} cold users, folds "
        f"{', '.join(map(str, summary.folds))}. {summary.primary.name}: {summary.primary.aim}. The "
        "differences that count are paired: `coldstart compare A B`."
    )
    return "\n".join([*lines, "", note]) + "\n"
