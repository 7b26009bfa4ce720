"""Results as tables in a terminal, and as JSON rows."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table

from coldstart.evaluation.metrics import ALL_SHOTS, METRICS

ALL = "all"
"""What JSON says in place of a K where the mean over all of them is meant."""
_UNBOUNDED = 10_000
"""Characters in a row, more than any table has."""


def show(table: RenderableType) -> None:
    """Print a table with every number whole, also where the terminal is narrower or is a pipe."""
    free = Console(width=_UNBOUNDED)
    needed = Measurement.get(free, free.options, table).maximum
    Console(width=max(needed, Console().width)).print(table)


def as_json(rows: pd.DataFrame, columns: list[str]) -> str:
    """A JSON array of rows; a value that is not defined is null."""
    if "k" in columns:
        rows = rows.assign(k=[ALL if k == ALL_SHOTS else k for k in rows["k"]])
    records: list[dict[str, Any]] = [
        {str(k): None if v != v else v for k, v in row.items()}
        for row in rows[columns].to_dict("records")
    ]
    return json.dumps(records, indent=1)


def _shots(k: int) -> str:
    return "all K" if k == ALL_SHOTS else f"K={k}"


def below(rows: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """``rows``, then ``more``, in which any value may be None; whole numbers stay whole."""
    return pd.concat([rows.astype(object), more.astype(object)], ignore_index=True)


def leaderboard_tables(rows: pd.DataFrame) -> Group:
    """A table per metric: methods in rows, K in columns, the best of each column in bold."""
    first = rows.iloc[0]
    caption = f"{first['dataset']}, {first['split']} split, {rows['n_users'].max()} cold users"
    tables = [_metric_table(str(metric), of_metric) for metric, of_metric in _by_metric(rows)]
    return Group(*tables, f"{caption}; ± is half the widest interval of a row")


def _by_metric(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(m), rows[rows["metric"] == m]) for m in rows["metric"].drop_duplicates()]


def _metric_table(metric: str, rows: pd.DataFrame) -> Table:
    of = METRICS[metric]
    table = Table(
        title=f"{metric}, {of.aim}",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("method", no_wrap=True)
    shots = sorted(rows["k"].unique(), key=lambda k: (k == ALL_SHOTS, k))
    best = rows.groupby("k")["mean"].agg("min" if of.sign < 0 else "max")
    for k in shots:
        table.add_column(_shots(k), justify="right", no_wrap=True)
    table.add_column("±", justify="right", style="dim", no_wrap=True)
    for method in rows["method"].drop_duplicates():
        cells = rows[rows["method"] == method].set_index("k")
        values = cells["mean"].to_dict()
        half = ((cells["high"] - cells["low"]) / 2).max()
        texts = [
            ""
            if k not in values
            else f"[bold]{values[k]:.4f}[/bold]"
            if values[k] == best[k]
            else f"{values[k]:.4f}"
            for k in shots
        ]
        table.add_row(str(method), *texts, f"{half:.3f}" if half == half else "")
    return table


def cost_table(rows: pd.DataFrame) -> Table:
    """A column per cost; what was not measured is empty."""
    shot = rows["k"].dropna().max()
    table = Table(
        title="cost, measured here and now",
        title_justify="left",
        caption=f"µs per user: adapt to {shot} ratings and rank the catalogue; training is what "
        "MLflow recorded, all folds and seeds",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    columns = {
        "train_seconds": ("seconds to train", 1.0, ",.1f"),
        "adapt_us": ("µs alone", 1.0, ",.0f"),
        "adapt_us_batched": ("µs in a batch", 1.0, ",.1f"),
        "bundle_bytes": ("bundle, KiB", 1024.0, ",.0f"),
    }
    table.add_column("method", no_wrap=True)
    for title, _, _ in columns.values():
        table.add_column(title, justify="right")
    for method in rows["method"].drop_duplicates():
        values = rows[rows["method"] == method].set_index("metric")["mean"].to_dict()
        cells = [
            format(values[name] / unit, style) if name in values else ""
            for name, (_, unit, style) in columns.items()
        ]
        table.add_row(str(method), *cells)
    return table


def comparison_table(rows: pd.DataFrame) -> Table:
    """The paired difference of two methods at each K."""
    first = rows.iloc[0]
    table = Table(
        title=f"{first['metric']} of {first['a']} minus {first['b']}, {first['split']} split",
        title_justify="left",
        caption="paired bootstrap over cold users; p after Holm's correction",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in ("K", "difference", "interval", "p", "users"):
        table.add_column(name, justify="right")
    for row in rows.to_dict("records"):
        table.add_row(
            _shots(row["k"]).removeprefix("K="),
            f"{row['mean']:+.4f}",
            f"{row['low']:+.4f} .. {row['high']:+.4f}",
            f"{row['p_holm']:.4f}",
            str(row["n_users"]),
        )
    return table
