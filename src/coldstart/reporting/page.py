"""The report: one self-contained page, and the leaderboard as Markdown.

Everything is read from what ``evaluate`` wrote; nothing here computes a result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from coldstart.evaluation.significance import aim, gain_sign
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

    summary: dict[str, Any]
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
    """The leaderboard as a Markdown table: the gate's metric at every K, then two rankings."""
    summary, table = found.summary, found.table
    metric, shot = summary["gate"]["metric"], summary["gate"]["shot"]
    columns = [(metric, k) for k in summary["shots"]]
    columns += [(m, shot) for m in ("ndcg@5", "recall@10")]
    cells = table.set_index(["method", "metric", "k"])["mean"]
    best = {
        (m, k): cells.xs((m, k), level=("metric", "k")).agg("min" if gain_sign(m) < 0 else "max")
        for m, k in columns
    }
    heads = [f"{m} K={k}" for m, k in columns]
    lines = [f"| method | {' | '.join(heads)} |", f"|---{'|--:' * len(heads)}|"]
    for method in summary["methods"]:
        texts = []
        for m, k in columns:
            value = float(cells[(method, m, k)])
            mark = "**" if value == best[m, k] else ""
            texts.append(f"{mark}{value:.3f}{mark}")
        lines.append(f"| {method} | {' | '.join(texts)} |")
    users = summary["n_users"]["cold"]
    note = (
        f"{summary['dataset']}, {summary['split']} split, {users} cold users, folds "
        f"{', '.join(map(str, summary['folds']))}. {metric}: {aim(metric)}. The differences that "
        "count are paired: `coldstart compare A B`."
    )
    return "\n".join([*lines, "", note]) + "\n"
