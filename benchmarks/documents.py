"""``make docs``: the tables of README.md and docs/, each from a run of its own.

    python benchmarks/documents.py                   # all; what is done already is not done again
    python benchmarks/documents.py default folds     # these
    python benchmarks/documents.py dbook --data FOLDER

Every run is a clone of this repository's head under ``artifacts/documents``, with the keys below
changed and the cache of this one. DVC computes what it lacks, so an interrupted run goes on, and
after a change only what the change concerns is measured again. From nothing, ``folds`` takes
about 40 minutes on one core, ``dbook`` four hours, the others some minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from coldstart import layout
from coldstart.algorithms import ALGORITHMS

EVERY = f"meta_train.algorithms=[{','.join(ALGORITHMS)}]"
THRICE, FIVE = "meta_train.seeds=[0,1,2]", "prepare.folds=[0,1,2,3,4]"
CHANGES: dict[str, tuple[str, ...]] = {
    "default": (),
    "folds": (EVERY, THRICE, FIVE),
    "temporal": (EVERY, THRICE, "prepare.split=temporal"),
    "dbook": (
        EVERY,
        FIVE,
        "data.name=dbook",
        "prepare.min_ratings=10",
        "prepare.query_size=5",
        "prepare.shots=[0,1,3,5]",
    ),
}
"""What differs from params.yaml; see ``RUNS`` of tables.py."""
ROOT = Path(__file__).resolve().parents[1]
CLONES = layout.ARTIFACTS / "documents"
DOCUMENTS = ("README.md", "docs/algorithms.md", "docs/benchmarks")


def command(folder: Path, *words: str) -> None:
    """Run a command in a folder, by the code that lies there; its failure is ours."""
    print("$", *words, file=sys.stderr, flush=True)
    own = {"PYTHONPATH": str(folder / "src")}
    subprocess.run(words, cwd=folder, check=True, env={**os.environ, **own})


def clone(run: str, data: Path | None) -> Path:
    """The head of this repository with the keys of a run, its data in place."""
    folder = (ROOT / CLONES / run).resolve()
    if not folder.exists():
        command(ROOT, "git", "clone", "--quiet", str(ROOT), str(folder))
        command(folder, "dvc", "cache", "dir", "--local", str(ROOT / ".dvc" / "cache"))
    command(folder, "git", "fetch", "--quiet")
    command(folder, "git", "reset", "--quiet", "--hard", "origin/HEAD")
    source = (f"data.source={data.resolve()}",) if run == "dbook" and data is not None else ()
    words = [word for change in (*CHANGES[run], *source) for word in ("--set", change)]
    if words:
        command(folder, "coldstart", "params", *words, "--write")
    command(folder, "coldstart", "fetch", *(["--update"] if source else []))
    return folder


def documents() -> list[str]:
    """Every page that has tables."""
    found = [ROOT / name for name in DOCUMENTS]
    pages = [page for path in found for page in (path.glob("*.md") if path.is_dir() else [path])]
    return sorted(map(str, pages))


def main(words: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="*", metavar="RUN", help=", ".join(CHANGES))
    parser.add_argument("--data", type=Path, help="folder of dbook, which is nowhere to fetch")
    given = parser.parse_args(words)
    runs = given.runs or [run for run in CHANGES if run != "dbook" or given.data]
    if unknown := set(runs) - set(CHANGES):
        parser.error(f"no run {', '.join(sorted(unknown))}; there are {', '.join(CHANGES)}")
    if "dbook" in runs and given.data is None:
        parser.error("dbook: --data names its folder")
    for run in runs:
        folder = clone(run, given.data)
        command(folder, "dvc", "repro", "--quiet", "evaluate")
        tables = str(ROOT / "benchmarks" / "tables.py")
        command(folder, sys.executable, tables, "refresh", run, *documents())


if __name__ == "__main__":
    main()
