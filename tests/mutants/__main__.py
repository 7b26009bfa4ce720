"""Run the mutants: each must make a test fail.

    python -m tests.mutants                  # the named ones, then 200 at random
    python -m tests.mutants --named          # the named ones
    python -m tests.mutants --seeded 50 --seed 3 --jobs 2

Every job has a copy of the tree. Libraries are imported once, in a server that is forked for each
mutant. Results are kept in ``.mutants/`` and hold until the file or its tests change, so a run
that was cut off goes on where it was. Fails if a named mutant survives, or more than one in twenty
of the seeded ones that ``same.txt`` does not list.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.mutants.bench import Bench
from tests.mutants.mutant import ROOT, Mutant
from tests.mutants.named import named_mutants
from tests.mutants.seeded import seeded_mutants

RESULTS = ROOT / ".mutants" / "results.jsonl"
SAME = Path(__file__).with_name("same.txt")
NEEDED = 0.95
"""Share of the seeded mutants that must be caught."""
_CAUGHT = ("caught", "endless")


def known() -> dict[str, str]:
    """Verdicts of earlier runs that still hold, by key."""
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    rows = [json.loads(line) for line in lines]
    return {row["key"]: row["verdict"] for row in rows}


def judge(mutants: list[Mutant], bench: Bench, jobs: int) -> dict[str, str]:
    """The verdict on each mutant, by name."""
    before, verdicts = known(), {}
    RESULTS.parent.mkdir(exist_ok=True)

    def one(mutant: Mutant) -> tuple[Mutant, str]:
        return mutant, before.get(mutant.key) or bench.verdict(mutant)

    with ThreadPoolExecutor(jobs) as pool, RESULTS.open("a", encoding="utf-8") as file:
        for done, (mutant, verdict) in enumerate(pool.map(one, mutants), 1):
            verdicts[mutant.name] = verdict
            if mutant.key not in before:
                row: dict[str, Any] = {"key": mutant.key, "name": mutant.name, "verdict": verdict}
                file.write(json.dumps(row) + "\n")
                file.flush()
            place = f"{mutant.path}:{mutant.line}"
            print(f"{done}/{len(mutants)} {verdict}: {place} {mutant.name}", flush=True)
    return verdicts


def listed_as_same() -> set[str]:
    """Names of mutants that change nothing."""
    lines = SAME.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line.strip() and not line.startswith("#")}


def report(what: str, verdicts: dict[str, str], same: Iterable[str], needed: float) -> bool:
    """Print the outcome; whether enough were caught."""
    counted = {name: verdict for name, verdict in verdicts.items() if name not in same}
    if not counted:
        return True
    caught = sum(verdict in _CAUGHT for verdict in counted.values())
    share = caught / len(counted)
    skipped = len(verdicts) - len(counted)
    print(f"{what}: {caught} of {len(counted)} caught ({share:.1%}); {skipped} change nothing")
    for name, verdict in counted.items():
        if verdict not in _CAUGHT:
            print(f"  survived: {name}")
    return share >= needed


def main() -> None:
    """Run what was asked for; exit 1 if too much survives."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--named", action="store_true", help="the named ones alone")
    parser.add_argument("--seeded", type=int, default=200, help="how many at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        bench = Bench(options.jobs, Path(scratch))
        good = report("named", judge(named_mutants(), bench, options.jobs), (), 1.0)
        if not options.named:
            seeded = seeded_mutants(options.seeded, options.seed)
            verdicts = judge(seeded, bench, options.jobs)
            good &= report("seeded", verdicts, listed_as_same(), NEEDED)
    sys.exit(not good)


if __name__ == "__main__":
    main()
