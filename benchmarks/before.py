"""Has a method become worse since an older checkout? Both runs' errors, paired by user.

    python benchmarks/before.py OLDER                # OLDER: a checkout with a finished dvc repro
    python benchmarks/before.py OLDER --page docs/benchmarks/before.md

Both have run the same data, folds and seeds, so the same cold users were asked for the same
ratings. A difference is the RMSE here minus the RMSE there, each the root of the mean over users of
a user's squared error, which is a mean over training seeds; with the interval of the paired
bootstrap over users. What is new here may be compared with what it took the place of:
``list=blend``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coldstart import layout
from coldstart.errors import EvaluationError
from coldstart.evaluation.leaderboard import USERS
from coldstart.evaluation.significance import interval, resampled_means
from coldstart.params import load_params

RESULTS = layout.EVALUATION / USERS
PAIRS = ("list=blend", "blend", "bayes_head", "multitask", "vbpmf", "vbpmf_implicit", "ridge")
HEAD = (
    "RMSE in rating points, this checkout minus the older one; {users} cold users, folds: {folds}; "
    "training seeds, over which squared errors are averaged: {seeds}."
)


def rows_of(path: Path, method: str) -> pd.DataFrame:
    """What was measured of a method on cold users.

    Raises:
        EvaluationError: nothing.
    """
    rows = pd.read_parquet(path)
    rows = rows[(rows["role"] == "cold") & (rows["method"] == method)]
    if rows.empty:
        raise EvaluationError(f"{path}: no method {method}")
    return rows


def errors_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Squared errors, mean over seeds: a row per user and fold, a column per K."""
    return rows.pivot_table(index=["fold", "user"], columns="k", values="mse")


def runs_of(rows: pd.DataFrame) -> set[tuple[int, int]]:
    """Fold and training seed of everything that was fitted; of a baseline the seed is 0."""
    return set(zip(rows["fold"].tolist(), rows["seed"].tolist(), strict=True))


def differences(
    here: pd.DataFrame, there: pd.DataFrame, resamples: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Difference of the two RMSEs at each K, and its interval's ends.

    Raises:
        EvaluationError: other users, or other K.
    """
    if not here.index.equals(there.index) or list(here.columns) != list(there.columns):
        raise EvaluationError("the two checkouts judged other users, or by other shots")
    both = np.hstack([here.to_numpy(), there.to_numpy()])
    n = here.shape[1]
    means_RC = resampled_means(both, resamples, seed)
    drawn = np.sqrt(means_RC[:, :n]) - np.sqrt(means_RC[:, n:])
    low, high = interval(drawn, 0.95)
    return np.sqrt(both[:, :n].mean(0)) - np.sqrt(both[:, n:].mean(0)), low, high


def table(older: Path, pairs: Sequence[str], resamples: int, seed: int) -> str:
    """Markdown, with how many users, folds and seeds it is of.

    Raises:
        EvaluationError: the two sides are no comparison.
    """
    lines: list[str] = []
    runs: set[tuple[int, int]] = set()
    n_users = 0
    for pair in pairs:
        ours, _, theirs = pair.partition("=")
        rows, old = rows_of(RESULTS, ours), rows_of(older / RESULTS, theirs or ours)
        if runs_of(rows) != runs_of(old):
            raise EvaluationError(
                f"{pair}: the two checkouts have other folds or seeds, as (fold, seed) "
                f"{sorted(runs_of(rows))} here and {sorted(runs_of(old))} in {older}"
            )
        here = errors_of(rows)
        found, low, high = differences(here, errors_of(old), resamples, seed)
        runs, n_users = runs | runs_of(rows), len(here)
        if not lines:
            shots = [f"K={k}" for k in here.columns]
            lines = ["", f"| method | {' | '.join(shots)} |", "|---|" + "--:|" * len(shots)]
        cells = [f"{d:+.4f} [{a:+.4f}, {b:+.4f}]" for d, a, b in zip(found, low, high, strict=True)]
        name = f"{ours} minus {theirs}" if theirs else ours
        lines.append(f"| {name} | {' | '.join(cells)} |")
    folds, seeds = (", ".join(map(str, sorted(set(part)))) for part in zip(*runs, strict=True))
    return "\n".join([HEAD.format(users=n_users, folds=folds, seeds=seeds), *lines]) + "\n"


def main() -> None:
    """Print the table, or write it into a page between its marks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("older", type=Path)
    parser.add_argument("--pairs", nargs="+", default=PAIRS, metavar="HERE[=THERE]")
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    params = load_params()
    found = table(given.older, given.pairs, params.evaluate.resamples, params.seed)
    if given.page is None:
        print(found)
        return
    text = given.page.read_text(encoding="utf-8")
    first, mark, _ = text.partition("<!-- before -->\n")
    given.page.write_text(first + (mark or "<!-- before -->\n") + found, encoding="utf-8")


if __name__ == "__main__":
    main()
