"""Run the mutants: each must make a test fail.

    python -m tests.mutants                  # the named ones, then 200 at random
    python -m tests.mutants --named          # the named ones
    python -m tests.mutants --seeded 50 --seed 3 --jobs 2
    python -m tests.mutants --only "spare.py spare_choices"   # all whose names hold it

Every job has a copy of the tree. Libraries are imported once, in a server that is forked for each
mutant. Results are kept in ``.mutants/`` and hold until the file or its tests change, so a run
that was cut off goes on where it was; where they do change, the test that caught a mutant is asked
first. Fails if a named mutant survives, or more than one in twenty
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

from tests.mutants.bench import Bench, Verdict
from tests.mutants.mutant import ROOT, Mutant
from tests.mutants.named import named_mutants
from tests.mutants.seeded import all_mutants, seeded_mutants

RESULTS = ROOT / ".mutants" / "results.jsonl"
SAME = Path(__file__).with_name("same.txt")
NEEDED = 0.95
"""Share of the seeded mutants that must be caught."""
_CAUGHT = ("caught", "endless")


def earlier() -> tuple[dict[str, str], dict[str, str]]:
    """Outcomes of earlier runs that still hold, by key; and what caught a mutant, by its name."""
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    rows = [json.loads(line) for line in lines]
    outcomes = {row["key"]: row["verdict"] for row in rows}
    return outcomes, {row["name"]: row["by"] for row in rows if row.get("by")}


def judge(mutants: list[Mutant], bench: Bench, jobs: int) -> dict[str, str]:
    """The outcome of each mutant, by name."""
    (before, caught_by), outcomes = earlier(), {}
    RESULTS.parent.mkdir(exist_ok=True)

    def one(mutant: Mutant) -> tuple[Mutant, Verdict]:
        if mutant.key in before:
            return mutant, Verdict(before[mutant.key])
        return mutant, bench.verdict(mutant, caught_by.get(mutant.name))

    with ThreadPoolExecutor(jobs) as pool, RESULTS.open("a", encoding="utf-8") as file:
        for done, (mutant, found) in enumerate(pool.map(one, mutants), 1):
            outcomes[mutant.name] = found.outcome
            if mutant.key not in before:
                row = {"key": mutant.key, "name": mutant.name, "verdict": found.outcome}
                file.write(json.dumps(row | {"by": found.by}) + "\n")
                file.flush()
            place = f"{mutant.path}:{mutant.line}"
            print(f"{done}/{len(mutants)} {found.outcome}: {place} {mutant.name}", flush=True)
    return outcomes


def listed_as_same() -> set[str]:
    """Names of mutants that change nothing."""
    lines = SAME.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line.strip() and not line.startswith("#")}


def report(what: str, outcomes: dict[str, str], same: Iterable[str], needed: float) -> bool:
    """Print the outcome; whether enough were caught."""
    counted = {name: outcome for name, outcome in outcomes.items() if name not in same}
    if not counted:
        return True
    caught = sum(outcome in _CAUGHT for outcome in counted.values())
    share = caught / len(counted)
    skipped = len(outcomes) - len(counted)
    print(f"{what}: {caught} of {len(counted)} caught ({share:.1%}); {skipped} change nothing")
    for name, outcome in counted.items():
        if outcome not in _CAUGHT:
            print(f"  survived: {name}")
    return share >= needed


def main() -> None:
    """Run what was asked for; exit 1 if too much survives."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--named", action="store_true", help="the named ones alone")
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="those whose names hold one")
    parser.add_argument("--seeded", type=int, default=200, help="how many at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        bench = Bench(options.jobs, Path(scratch))
        if options.only:
            everything = (*named_mutants(), *all_mutants())
            chosen = [m for m in everything if any(text in m.name for text in options.only)]
            sys.exit(not report("asked for", judge(chosen, bench, options.jobs), (), 1.0))
        good = report("named", judge(named_mutants(), bench, options.jobs), (), 1.0)
        if not options.named:
            seeded = seeded_mutants(options.seeded, options.seed)
            outcomes = judge(seeded, bench, options.jobs)
            good &= report("seeded", outcomes, listed_as_same(), NEEDED)
    sys.exit(not good)


if __name__ == "__main__":
    main()
