"""How much worse is the method that a run chooses than the best one? Over many splits.

    python benchmarks/regret.py --seeds 30  # resumes; about two minutes a seed on one core
    python benchmarks/regret.py --seeds 30 --page docs/benchmarks/regret.md

Every seed is another split, and a whole run of the present params.yaml on it, but for the seed. The
best is the method with the highest mean over all seeds of the goal's metric on cold users: one
choice for all, since the best of each single split is partly luck. The regret of a choice is what
its metric lacks of the best one's on the same cold users, as a share; a split where the chosen one
happens to be ahead has a regret below 0. Beside it, what a coin toss among all methods and always
the same method would cost. Results of a seed are kept under artifacts/regret.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import yaml

from coldstart import layout
from coldstart.evaluation.leaderboard import USERS
from coldstart.evaluation.summary import SUMMARY, Summary
from coldstart.params import load_params
from coldstart.progress import progress

RESULTS = Path("artifacts/regret")
LEVELS = "levels.csv"
ALWAYS = ("multitask", "popularity")
"""Fixed choices that are shown beside."""
MUCH = 0.05
"""A regret that should be rare."""


def run(seed: int, folder: Path) -> None:
    """A whole pipeline on the split of ``seed``; leaves its summary and the levels of methods."""
    project = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="regret-") as name:
        place = Path(name)
        raw = yaml.safe_load(layout.PARAMS.read_text()) | {"seed": seed}
        (place / layout.PARAMS).write_text(yaml.safe_dump(raw, sort_keys=False))
        for shared in (layout.DATA, layout.EXPECTATIONS, Path("data.dvc")):
            (place / shared).symlink_to(project / shared)
        trainings = [["meta-train", name] for name in raw["meta_train"]["algorithms"]]
        for command in (
            *(["validate"], ["prepare"], ["pretrain"], *trainings, ["combine"], ["evaluate"]),
        ):
            subprocess.run(
                [sys.executable, "-m", "coldstart", *command],
                cwd=place,
                env={**os.environ, "COLDSTART_TRACKING": "off", "COLDSTART_HOME": str(place)},
                check=True,
                capture_output=True,
            )
        keep(place / layout.EVALUATION, folder)


def keep(evaluation: Path, folder: Path) -> None:
    """The goal's metric on cold users, a mean over all K: ``method, mean``; and the summary."""
    summary = Summary.load(evaluation)
    column = summary.primary.per_user_column
    users = pd.read_parquet(evaluation / USERS, columns=["method", "role", "k", column])
    means = users[users["role"] == "cold"].groupby(["method", "k"], observed=True)[column].mean()
    finished = pd.Series(summary.primary.finish(means.to_numpy()), means.index)
    levels = finished.groupby("method").mean().drop(list(summary.canary_methods))
    folder.mkdir(parents=True, exist_ok=True)
    levels.rename("mean").to_csv(folder / LEVELS)
    shutil.copyfile(evaluation / SUMMARY, folder / SUMMARY)  # last: marks the seed as done


def regrets(folders: Sequence[Path]) -> pd.DataFrame:
    """``seed, choice, method, regret``: of the run's choice, a coin toss and fixed choices."""
    summaries = [Summary.load(folder) for folder in folders]
    levels = pd.DataFrame(
        [pd.read_csv(folder / LEVELS, index_col="method")["mean"] for folder in folders]
    ).reset_index(drop=True)
    sign = summaries[0].primary.sign
    best = str((sign * levels.mean()).idxmax())
    rows = []
    for seed, (summary, level) in enumerate(zip(summaries, levels.to_dict("records"), strict=True)):
        lost = {name: sign * (1 - value / level[best]) for name, value in level.items()}
        choices = {"chosen": summary.candidate.method, "best": best}
        choices |= {f"always {name}": name for name in ALWAYS if name in lost}
        rows += [(seed, c, name, lost[name]) for c, name in choices.items()]
        rows.append((seed, "coin toss", "", sum(lost.values()) / len(lost)))
    return pd.DataFrame(rows, columns=["seed", "choice", "method", "regret"])


def page(found: pd.DataFrame, summary: Summary) -> str:
    """The table as Markdown."""
    n = found["seed"].nunique()
    best = found.loc[found["choice"] == "best", "method"].iloc[0]
    chosen = found[found["choice"] == "chosen"]["method"].value_counts()
    lines = [
        "# Regret: how good is the choice of a candidate?",
        "",
        f"{summary.dataset}, {n} split seeds, a default run on each; {summary.primary.name}, a "
        f"mean over all K, on cold users. Best over all seeds: `{best}`. Chosen: "
        + ", ".join(f"`{name}` {count} times" for name, count in chosen.items())
        + ".",
        "",
        "| choice | mean regret | largest | seeds above 5% |",
        "|---|--:|--:|--:|",
    ]
    for choice, rows in found.groupby("choice", sort=False):
        if choice != "best":
            lost = rows["regret"]
            much = int((lost > MUCH).sum())
            lines.append(f"| {choice} | {lost.mean():.2%} | {lost.max():.2%} | {much} of {n} |")
    command = f"python benchmarks/regret.py --seeds {n}"
    peers = (
        "Peers of other libraries are no methods of a run, so none can be chosen; beside the best "
        "they are on [lists](lists.md)."
    )
    return "\n".join([*lines, "", peers, "", f"Made by `{command}`.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--page", type=Path, help="where the table is written")
    options = parser.parse_args()
    load_params()
    folders = [RESULTS / f"seed-{seed}" for seed in range(options.seeds)]
    for seed, folder in enumerate(progress(folders, "seeds")):
        if not (folder / SUMMARY).is_file():
            run(seed, folder)
    text = page(regrets(folders), Summary.load(folders[0]))
    print(text)
    if options.page is not None:
        options.page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
