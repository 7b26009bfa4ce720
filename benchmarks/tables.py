"""The tables of README.md and docs/, from the evaluation that lies here.

    python benchmarks/tables.py board --top 10
    python benchmarks/tables.py ratings
    python benchmarks/tables.py minus blend bias ridge --metric rmse
    python benchmarks/tables.py rows maml anil
    python benchmarks/tables.py refresh folds README.md docs/**/*.md

A table in a document stands below a comment that names the run it is of and how it is made, for
instance ``<!-- table folds: minus blend bias ridge -->``; in place of a new one stands any line
that begins with a bar. ``refresh`` makes the tables of one run anew and leaves the rest as it is.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pandas as pd

from coldstart import layout
from coldstart.errors import ColdstartError, ParamsError
from coldstart.evaluation.leaderboard import TABLE, compare_rows, read_table
from coldstart.evaluation.metrics import ALL_SHOTS, METRICS
from coldstart.evaluation.summary import Summary

RUNS = {
    "default": {"dataset": "ml-100k", "split": "random", "folds": 1, "training_seeds": 1},
    "folds": {"dataset": "ml-100k", "split": "random", "folds": 5, "training_seeds": 3},
    "temporal": {"dataset": "ml-100k", "split": "temporal", "folds": 1, "training_seeds": 3},
    "dbook": {"dataset": "dbook", "split": "random", "folds": 5, "training_seeds": 1},
}
"""What the documents show; of folds and seeds, how many."""
BOARD = ("list_ndcg@10", "list_recall_tail@10", "rmse")
"""Columns of the board beside the goal's metric."""
REFERENCE = "bias"
"""What the rows of `rows` are compared with in RMSE."""
BESIDE = ("ndcg@5", "list_recall@10")
"""Columns of the board beside RMSE at every K."""
AT = 5
"""K of these columns, and at which rows are compared with the reference."""
MARKED = re.compile(
    r"^<!-- table (?P<run>[\w-]+): (?P<how>.+) -->\n(?P<table>(?:\|.*(?:\n|\Z))+)", re.M
)


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a table's words and lets the caller say where they stand."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of ending the process."""
        raise ParamsError(message)


def parser() -> Parser:
    """The command line, of which comments in documents hold a part."""
    assert __doc__ is not None
    top = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = top.add_subparsers(dest="kind", required=True)
    kinds.add_parser("board", help=board.__doc__).add_argument("--top", type=int)
    kinds.add_parser("ratings", help=ratings.__doc__)
    of_minus = kinds.add_parser("minus", help=minus.__doc__)
    of_minus.add_argument("method")
    of_minus.add_argument("others", nargs="+")
    of_minus.add_argument("--metric", default="rmse")
    of_minus.add_argument("--never-validated", action="store_true")
    kinds.add_parser("rows", help=rows.__doc__).add_argument("methods", nargs="+")
    of_refresh = kinds.add_parser("refresh", help=refresh.__doc__)
    of_refresh.add_argument("run", choices=RUNS)
    of_refresh.add_argument("documents", nargs="+", type=Path)
    return top


def table_of(words: Sequence[str]) -> list[str]:
    """The lines of one table.

    Raises:
        ParamsError: the words are no table, or name what was not evaluated.
        ArtefactError: nothing was evaluated here.
    """
    options = parser().parse_args(words)
    if options.kind == "board":
        return board(options.top)
    if options.kind == "ratings":
        return ratings()
    if options.kind == "minus":
        return minus(options.method, options.others, options.metric, options.never_validated)
    if options.kind == "rows":
        return rows(options.methods)
    raise ParamsError(f"{options.kind}: no table")


def board(top: int | None) -> list[str]:
    """Every method, or the best few: the goal's metric at every K, then means over all K."""
    summary, table = Summary.load(layout.EVALUATION), read_table(TABLE)
    table = table[~table["method"].isin(summary.canary_methods)]
    means = table.set_index(["method", "metric", "k"])["mean"]
    primary = summary.primary
    columns = [(primary, k) for k in (*summary.shots, ALL_SHOTS)]
    others = [METRICS[name] for name in BOARD if name in set(table["metric"])]
    columns += [(metric, ALL_SHOTS) for metric in others if metric != primary]
    order = primary.sign * means.xs((primary.name, ALL_SHOTS), level=("metric", "k"))
    order = order.sort_values(ascending=False, kind="stable")
    body = []
    for method in order.index[:top]:
        name = f"**{method}**" if method == summary.candidate.method else str(method)
        values = [means.get((method, metric.name, k)) for metric, k in columns]
        body.append([name, *("" if v is None else _level(v) for v in values)])
    heads = [f"K={k}" if k != ALL_SHOTS else "all K" for _, k in columns[: len(summary.shots) + 1]]
    heads += [metric.name for metric, _ in columns[len(heads) :]]
    return markdown([primary.name, *heads], body)


def _level(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def ratings() -> list[str]:
    """Every method: RMSE at every K, and more at one; the best of a column is bold."""
    rmse = levels("rmse")
    columns = [("rmse", k) for k in rmse] + [(metric, AT) for metric in BESIDE]
    values = pd.DataFrame({f"{m} K={k}": levels(m)[k].round(3) for m, k in columns})
    best = {
        f"{m} K={k}": values[f"{m} K={k}"].agg("min" if METRICS[m].sign < 0 else "max")
        for m, k in columns
    }
    body = []
    for method, row in values.loc[rmse.index].iterrows():
        both = zip(row, best.values(), strict=True)
        cells = [f"**{v:.3f}**" if v == top else f"{v:.3f}" for v, top in both]
        body.append([str(method), *cells])
    return markdown(["method", *values], body)


def minus(method: str, others: Sequence[str], metric: str, never_validated: bool) -> list[str]:
    """A method minus each of some others, with intervals."""
    body = []
    for other in others:
        found = compare_rows(method, other, metric, never_validated=never_validated).set_index("k")
        body.append([other, *(_difference(row) for _, row in found.iterrows())])
    title = f"{method} minus" + ("" if metric == "rmse" else f", {metric}")
    return markdown([title, *("all K" if k == ALL_SHOTS else f"K={k}" for k in found.index)], body)


def rows(methods: Sequence[str]) -> list[str]:
    """RMSE of some methods to four places, and the difference to the reference."""
    rmse = levels("rmse")
    body = []
    for method in methods:
        cells = ["" if method == REFERENCE else _at(compare_rows(method, REFERENCE, "rmse"))]
        body.append([method, *(_short(value, "") for value in rmse.T[method]), *cells])
    header = [f"K={k}" for k in rmse] + [f"minus {REFERENCE}, K={AT}"]
    return markdown(["RMSE, cold users", *header], body)


def levels(metric: str) -> pd.DataFrame:
    """Means on cold users: a row for each method, a column for each K."""
    table = read_table(TABLE)
    known = table[(table["metric"] == metric) & (table["k"] != ALL_SHOTS)]
    if known.empty or AT not in set(known["k"]):
        raise ParamsError(f"{metric} at K={AT}: not in the evaluation that lies here")
    return known.pivot_table(index="method", columns="k", values="mean", sort=False)


def markdown(header: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose first column is text."""
    rule = "|---|" + "--:|" * (len(header) - 1)
    return [f"| {' | '.join(header)} |", rule, *(f"| {' | '.join(cells)} |" for cells in body)]


def refresh(run: str, documents: Sequence[Path]) -> None:
    """Make the tables of a run anew; all documents are written, or none.

    Raises:
        ParamsError: what lies here is another run, no document has a table of it, or one cannot be
            made.
    """
    summary = Summary.load(layout.EVALUATION)
    here = {key: getattr(summary, key) for key in RUNS[run]}
    here |= {key: len(value) for key, value in here.items() if isinstance(value, tuple)}
    if here != RUNS[run]:
        raise ParamsError(f"{run} is {RUNS[run]}; what lies here is {here}")
    texts = {path: _refreshed(path, run) for path in documents}
    if not any(f"<!-- table {run}: " in text for text in texts.values()):
        raise ParamsError(f"{run}: none of the documents has a table of it")
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")


def _refreshed(path: Path, run: str) -> str:
    def made(match: re.Match[str]) -> str:
        if match["run"] != run:
            return match[0]
        try:
            lines = table_of(match["how"].split())
        except ParamsError as error:
            raise ParamsError(f"{path}: table {match['how']!r}: {error}") from error
        return match[0].removesuffix(match["table"]) + "\n".join(lines) + "\n"

    text = path.read_text(encoding="utf-8")
    if len(MARKED.findall(text)) != text.count("<!-- table "):
        raise ParamsError(f"{path}: a `<!-- table RUN: HOW -->` has no table right below it")
    return MARKED.sub(made, text)


def _at(found: pd.DataFrame) -> str:
    return _difference(found[found["k"] == AT].iloc[0])


def _difference(row: pd.Series) -> str:
    mean, low, high = (_short(row[name], "+") for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _short(value: float, sign: str) -> str:
    return re.sub(r"^([+-]?)0\.", r"\1.", f"{value:{sign}.4f}")


def main(words: Sequence[str]) -> None:
    options = parser().parse_args(words)
    if options.kind == "refresh":
        refresh(options.run, options.documents)
    else:
        print("\n".join(table_of(words)))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ColdstartError, OSError) as error:
        sys.exit(f"error: {error}")
