"""The tables of ``peers.py``: levels, and our method minus each peer with intervals.

A page holds a block for each dataset and split, between two comments; the command replaces the
block of what lies here and leaves the rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from coldstart.evaluation.leaderboard import compare, leaderboard
from coldstart.evaluation.metrics import ALL_SHOTS, METRICS
from coldstart.params import Params
from peer_trials import Context

SHOWN = {
    "list": ("list_recall@10", "list_ndcg@10", "recall@10", "list_recall_tail@10"),
    "rating": ("rmse", "mae", "ndcg@5", "auc"),
}
COVERAGE = {"list": ("coverage",), "rating": ()}


class Found(NamedTuple):
    """What tables are made of."""

    users: pd.DataFrame  # per-user results of cold users
    coverage: pd.DataFrame  # method, k, coverage
    records: dict[str, dict[str, Any]]  # of the peers: what was tried and chosen
    ours: tuple[str, ...]  # our methods; the first is compared


class Tables(NamedTuple):
    """The results as long tables; ``k = ALL_SHOTS`` is the mean over all K from 1 on."""

    rows: pd.DataFrame  # method, k, metric, mean, low, high, n_users
    differences: pd.DataFrame  # metric, k, a, b, mean, low, high, p, p_holm, n_users
    records: dict[str, dict[str, Any]]
    methods: tuple[str, ...]  # in the order of the tables
    metrics: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        content = {"rows": self.rows, "differences": self.differences}
        found = {name: json.loads(part.to_json(orient="records")) for name, part in content.items()}
        return {**found, "peers": self.records}


def tables_of(found: Found, goal: str, params: Params) -> Tables:
    """Levels of every method, and the first of ours minus each other one."""
    asked = params.evaluate, params.seed
    methods = tuple(dict.fromkeys((*found.ours, *found.records)))
    users = found.users
    parts = [leaderboard(users, found.coverage, *asked)]
    with_support = users[users["k"] > 0]
    pooled = leaderboard(with_support, found.coverage[found.coverage["k"] > 0], *asked)
    parts = [part_of(parts[0], pooled=False), part_of(pooled, pooled=True)]
    coverage = found.coverage[found.coverage["k"] > 0].groupby("method")["coverage"].mean()
    parts.append(coverage.rename("mean").reset_index().assign(k=ALL_SHOTS, metric="coverage"))
    rows = pd.concat(parts, ignore_index=True)
    first, *others = methods
    differences = []
    for name in SHOWN[goal]:
        metric = METRICS[name]
        having = set(users.loc[users[metric.per_user_column].notna(), "method"])
        pairs = [(first, other) for other in others if other in having]
        for rows_of, is_pooled in ((users, False), (with_support, True)) if pairs else ():
            table = compare(rows_of, pairs, metric, *asked)
            differences.append(part_of(table, pooled=is_pooled))
    metrics = (*SHOWN[goal], *COVERAGE[goal])
    return Tables(
        rows=rows[rows["metric"].isin(metrics)].reset_index(drop=True),
        differences=pd.concat(differences, ignore_index=True),
        records=found.records,
        methods=methods,
        metrics=metrics,
    )


def part_of(table: pd.DataFrame, *, pooled: bool) -> pd.DataFrame:
    """The rows of single K, or of the mean over all."""
    rows: pd.DataFrame = table[(table["k"] == ALL_SHOTS) == pooled]
    return rows


def markdown(tables: Tables, metric: str) -> Iterable[str]:
    """A row per method: the mean at each K, and below it the difference with its interval."""
    rows = tables.rows[tables.rows["metric"] == metric]
    shots = [*sorted(k for k in rows["k"].unique() if k != ALL_SHOTS), ALL_SHOTS]
    yield f"| {metric} | {' | '.join(_shots(k) for k in shots)} |"
    yield "|---|" + "--:|" * len(shots)
    for name in tables.methods:
        means = rows[rows["method"] == name].set_index("k")["mean"]
        if means.empty:
            continue
        title = tables.records[name]["title"] if name in tables.records else f"**{name}**"
        yield f"| {title} | {' | '.join(_short(means[k], '') for k in shots)} |"
        minus = tables.differences
        minus = minus[(minus["metric"] == metric) & (minus["b"] == name)].set_index("k")
        if len(minus):
            cells = (difference(minus.loc[k]) for k in shots)
            yield f"| *{minus['a'].iloc[0]} minus it* | {' | '.join(cells)} |"


def difference(row: pd.Series) -> str:
    """With its interval."""
    mean, low, high = (_short(row[name], "+") for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _shots(k: int) -> str:
    return "K >= 1" if k == ALL_SHOTS else f"K={k}"


def _short(value: float, sign: str) -> str:
    return re.sub(r"^([+-]?)0\.", r"\1.", f"{value:{sign}.4f}")


def chosen(records: dict[str, dict[str, Any]]) -> Iterable[str]:
    """What each peer is and which settings validation chose."""
    yield "| peer | package | settings tried | validation, best to worst | chosen, of each fold |"
    yield "|---|---|--:|--:|---|"
    for record in records.values():
        values = [trial["value"] for trial in record["trials"]]
        best, worst = sorted((max(values), min(values)), reverse=not record["rating"])
        folds: dict[str, list[str]] = {}
        for fold, setting in record["chosen"].items():
            text = ", ".join(f"{name} {value}" for name, value in setting.items())
            folds.setdefault(text, []).append(fold)
        one = "; ".join(
            text if len(folds) == 1 else f"{text} ({', '.join(names)})"
            for text, names in folds.items()
        )
        spread = f"{_short(best, '')} to {_short(worst, '')}"
        yield f"| {record['title']} | {record['package']} | {len(values)} | {spread} | {one} |"


def block(tables: Tables, context: Context, most: int) -> str:
    """All tables of what lies here, between the comments by which a page finds them."""
    params = context.params
    name = f"{params.data.name} {params.prepare.split}"
    n_users = int(tables.rows["n_users"].max())
    metric = next(iter(tables.records.values()))["metric"]
    folds = ", ".join(map(str, params.prepare.folds))
    head = (
        f"{params.data.name}, {params.prepare.split} split, folds {folds}: {n_users} cold users. "
        f"At most {most} settings of each peer, chosen by {metric} of validation users, mean over "
        "all K; intervals of "
        f"{params.evaluate.confidence:.0%} by the paired bootstrap over users, not corrected for "
        "the number of comparisons."
    )
    parts: list[Sequence[str]] = [[head]]
    parts += [list(markdown(tables, metric)) for metric in tables.metrics]
    parts.append(list(chosen(tables.records)))
    body = "\n\n".join("\n".join(lines) for lines in parts)
    return f"<!-- peers {name}: begin -->\n{body}\n<!-- peers {name}: end -->"


def into_page(path: Path, text: str) -> None:
    """Replace the block of the same name, or put it at the end."""
    name = text.split("\n", 1)[0].removeprefix("<!-- peers ").removesuffix(": begin -->")
    page = path.read_text(encoding="utf-8")
    place = re.compile(
        rf"<!-- peers {re.escape(name)}: begin -->.*?<!-- peers {re.escape(name)}: end -->", re.S
    )
    there = place.search(page) is not None
    page = place.sub(lambda _: text, page) if there else f"{page.rstrip()}\n\n{text}\n"
    path.write_text(page, encoding="utf-8")
