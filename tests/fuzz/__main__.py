"""``python -m tests.fuzz``: small random datasets through all stages; no traceback is allowed.

A run ends in a report or in an error that a person can act upon. What passed is remembered in a
file, so that a run that was cut off goes on; a failure is printed with its seed, and
``--seed N`` runs that one alone.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import traceback
from pathlib import Path

from coldstart.errors import ColdstartError

from .datasets import any_dataset
from .pipeline import run

DONE = Path(".fuzz")
"""A line for each seed that ended well: the seed, seconds, and how."""


def main() -> int:
    """Returns the number of tracebacks."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--datasets", type=int, default=500)
    parser.add_argument("--seed", type=int, help="this one alone, whether it passed before or not")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    if options.seed is not None:
        return int(not _passes(options.seed))
    lines = DONE.read_text().splitlines() if DONE.exists() else []
    done = {int(line.split()[0]) for line in lines}
    left = [seed for seed in range(options.datasets) if seed not in done]
    failed = [seed for seed in left if not _passes(seed)]
    print(f"{options.datasets} datasets, {len(failed)} with a traceback", *failed)
    return len(failed)


def _passes(seed: int) -> bool:
    start, how = time.perf_counter(), "ok"
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(any_dataset(seed), Path(folder) / "project")
        except ColdstartError as error:
            how = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        except Exception:  # what is looked for
            print(f"seed {seed}", traceback.format_exc(), sep="\n", flush=True)
            return False
    line = f"{seed} {time.perf_counter() - start:.1f} {how}"
    print(line, flush=True)
    with DONE.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    return True


if __name__ == "__main__":
    sys.exit(min(main(), 1))
