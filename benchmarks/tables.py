"""The tables of README.md and docs/, from the evaluation that lies here.

    python benchmarks/tables.py board
    python benchmarks/tables.py minus blend bias ridge --metric rmse
    python benchmarks/tables.py rows maml anil
    python benchmarks/tables.py refresh folds README.md docs/*.md

A table in a document stands below a comment that names the run it is of and how it is made, for
instance ``<!-- table folds: minus blend bias ridge -->``. ``refresh`` makes all tables of one run
anew and leaves everything else as it is; what the runs are, the documents say.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pandas as pd

from coldstart.errors import ColdstartError, ParamsError
from coldstart.evaluation.leaderboard import TABLE, USERS, compare, read_table
from coldstart.evaluation.methods import REFERENCE
from coldstart.params import load_params

BESIDE = (("ndcg@5", 5), ("recall@10", 5))
"""Columns of the board beside RMSE at every K."""
AGAINST_AT = 5
"""K at which rows are compared with the reference."""
MARKED = re.compile(r"^<!-- table (?P<run>[\w-]+): (?P<how>.+) -->\n(?P<table>(?:\|.*\n)*)", re.M)


@cache
def means() -> pd.DataFrame:
    """Means on cold users: a row for each metric and method, a column for each K."""
    table = read_table(TABLE)
    return table.pivot_table(index=["metric", "method"], columns="k", values="mean", sort=False)


def differences(pairs: list[tuple[str, str]], metric: str) -> pd.DataFrame:
    """See :func:`coldstart.evaluation.leaderboard.compare`."""
    params, users = load_params(), read_table(USERS)
    cold, names = users[users["role"] == "cold"], {name for pair in pairs for name in pair}
    if unknown := sorted(names - set(cold["method"])):
        raise ParamsError(f"{', '.join(unknown)}: not evaluated in the run that lies here")
    return compare(cold, pairs, metric, params.evaluate, params.seed)


def board() -> list[str]:
    """Every method: RMSE at every K and what is ``BESIDE`` it; the best of a column is bold."""
    columns = [("rmse", int(k)) for k in means().columns] + list(BESIDE)
    values = pd.DataFrame({f"{m} K={k}": means().loc[m, k] for m, k in columns}, dtype=float)
    best = {
        name: values[name].idxmin() if name.startswith("rmse") else values[name].idxmax()
        for name in values
    }
    return markdown(
        ["method", *values],
        [
            [method]
            + [f"**{v:.3f}**" if best[name] == method else f"{v:.3f}" for name, v in row.items()]
            for method, row in values.loc[list(means().loc["rmse"].index)].iterrows()
        ],
    )


def minus(method: str, others: Sequence[str], metric: str) -> list[str]:
    """Paired differences with their intervals."""
    table = differences([(method, other) for other in others], metric)
    shots = sorted(table["k"].unique())
    title = f"{method} minus" + ("" if metric == "rmse" else f", {metric}")
    return markdown(
        [title, *(f"K={k}" for k in shots)],
        [
            [other, *(_difference(row) for _, row in of_other.sort_values("k").iterrows())]
            for other, of_other in table.groupby("b", sort=False)
        ],
    )


def rows(methods: Sequence[str]) -> list[str]:
    """RMSE to four places, and the difference to the reference."""
    rmse = means().loc["rmse"]
    against = differences([(m, REFERENCE) for m in methods if m != REFERENCE], "rmse")
    against = against[against["k"] == AGAINST_AT].set_index("a")
    header = [f"K={k}" for k in rmse.columns] + [f"minus {REFERENCE}, K={AGAINST_AT}"]
    body = []
    for method in methods:
        known = method in against.index
        levels = [_short(value, "") for value in rmse.loc[method]]
        body.append([method, *levels, _difference(against.loc[method]) if known else ""])
    return markdown(["RMSE, cold users", *header], body)


def markdown(header: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose first column is text."""
    rule = "|---|" + "--:|" * (len(header) - 1)
    return [f"| {' | '.join(header)} |", rule, *(f"| {' | '.join(cells)} |" for cells in body)]


def refreshed(text: str, run: str) -> str:
    """The document with the tables of a run made anew.

    Raises:
        ParamsError: a comment that says how is no command of this script.
    """

    def made(match: re.Match[str]) -> str:
        if match["run"] != run:
            return match[0]
        lines = table_of(match["how"].split())
        return match[0].removesuffix(match["table"]) + "\n".join(lines) + "\n"

    return MARKED.sub(made, text)


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """Which table is asked for.

    Raises:
        ParamsError: none that there is.
    """
    parser = argparse.ArgumentParser(exit_on_error=False)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("board")
    of_minus = kinds.add_parser("minus")
    of_minus.add_argument("method")
    of_minus.add_argument("others", nargs="+")
    of_minus.add_argument("--metric", default="rmse")
    kinds.add_parser("rows").add_argument("methods", nargs="+")
    try:
        return parser.parse_args(words)
    except argparse.ArgumentError as error:
        raise ParamsError(f"table {' '.join(words)!r}: {error}") from error


def table_of(words: Sequence[str]) -> list[str]:
    """The lines of one table."""
    options = parsed(words)
    if options.kind == "board":
        return board()
    if options.kind == "minus":
        return minus(options.method, options.others, options.metric)
    return rows(options.methods)


def _difference(row: pd.Series) -> str:
    mean, low, high = (_short(row[name], "+") for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _short(value: float, sign: str) -> str:
    return re.sub(r"^([+-]?)0\.", r"\1.", f"{value:{sign}.4f}")


def main(words: Sequence[str]) -> None:
    if words[:1] != ["refresh"]:
        print("\n".join(table_of(words)))
        return
    run, *documents = words[1:]
    for document in map(Path, documents):
        text = document.read_text(encoding="utf-8")
        document.write_text(refreshed(text, run), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    try:
        main(sys.argv[1:])
    except ColdstartError as error:
        sys.exit(str(error))
