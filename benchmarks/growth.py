"""CPU seconds and peak memory of every stage at 10^5, 10^6 and 10^7 ratings.

    python benchmarks/growth.py --work ../growth
    python benchmarks/growth.py --work ../growth --sizes 100000 1000000 --methods list ease
    python benchmarks/growth.py --work ../growth --page docs/benchmarks/growth.md

Each stage of ``dvc.yaml`` runs as a process of its own, on one thread, on ratings made by
``made_data.py``, with the numbers of ``params.yaml`` and the methods that are named: what they are
made from comes with them, and what every evaluation needs; the last of them is shipped. What was
measured is kept below ``--work`` and not measured again; remove a size's folder after a change of
the code.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

import made_data
from coldstart import layout
from coldstart.algorithms import ALGORITHMS
from coldstart.baselines import BASELINES
from coldstart.combinations import COMBINATIONS, check_params
from coldstart.evaluation.summary import Summary
from coldstart.params import load_params
from tables import markdown

SIZES = (10**5, 10**6, 10**7)
METHODS = ("list",)
ALWAYS = ("random", "constant", "popularity")
"""Canaries and reference, without which nothing is evaluated."""
TRAINED = "bayes_head"
"""Trained where no other algorithm is, since a run has one at least."""
NAME = "made"
LIMIT_RATIO, LIMIT_MIB = 1.15, 6 * 1024
"""What is promised: of a decade's cost over ten times the one before, and of memory."""
ROOT = Path(__file__).resolve().parents[1]
PLACE = re.compile(r"(?<=<!-- growth -->\n)(?:\|.*(?:\n|\Z))+", re.M)

Costs = dict[str, dict[str, float]]  # stage -> seconds, peak_mib


def needed(names: Sequence[str]) -> list[str]:
    """The methods named and what they are made from, at any depth, in the order of fitting."""
    sections: dict[str, Any] = check_params(load_params(ROOT / layout.PARAMS))
    wanted = {*ALWAYS, *names}
    for name in reversed(sections):  # one may be made from one before
        if name in wanted:
            wanted |= set(COMBINATIONS[name].wanted(sections[name]))
    if wanted.isdisjoint(ALGORITHMS):
        wanted.add(TRAINED)
    return [name for name in (*BASELINES, *ALGORITHMS, *COMBINATIONS) if name in wanted]


def params_text(methods: Sequence[str]) -> str:
    """``params.yaml`` for the made data and some methods, on one thread."""
    content = yaml.safe_load((ROOT / layout.PARAMS).read_text(encoding="utf-8"))
    content |= {"threads": 1, "device": "cpu", "tuned": {}}
    content["data"]["name"] = NAME
    content["meta_train"]["algorithms"] = [name for name in methods if name in ALGORITHMS]
    for section in ("baselines", "combine"):
        content[section] = {k: v for k, v in content[section].items() if k in methods}
    return yaml.safe_dump(content, sort_keys=False)


def stages(methods: Sequence[str]) -> dict[str, list[str]]:
    """The commands of ``dvc.yaml`` by the name of their row; a training for each algorithm."""
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    found = {}
    for stage, content in pipeline.items():
        if "foreach" not in content:
            found[stage] = content["cmd"].split()
            continue
        for item in (name for name in methods if name in ALGORITHMS):
            found[f"{stage}@{item}"] = content["do"]["cmd"].replace("${item}", item).split()
    return found


def measured(
    folder: Path, n_ratings: int, methods: Sequence[str], until: str | None = None
) -> Costs:
    """The cost of every stage at one size, or of those up to one; what is known is kept."""
    record = folder / "costs.json"
    costs: Costs = json.loads(record.read_bytes()) if record.is_file() else {}
    data = folder / layout.DATA / NAME
    if not data.is_dir():
        unfinished = data.with_name("unfinished") / NAME
        made_data.write(unfinished, n_ratings)
        unfinished.rename(data)
        shutil.copytree(ROOT / layout.EXPECTATIONS, folder / layout.EXPECTATIONS)
    (folder / layout.PARAMS).write_text(params_text(methods), encoding="utf-8")
    commands = stages(methods)
    for stage, command in commands.items():
        if stage not in costs:
            if stage == "ship":
                choose(folder, methods[-1])
            costs[stage] = cost_of(folder, command)
            print(f"{n_ratings:.0e} {stage}: {costs[stage]}", file=sys.stderr, flush=True)
            record.write_text(json.dumps(costs, indent=1), encoding="utf-8")
        if stage == until:
            break
    return {stage: costs[stage] for stage in commands if stage in costs}


def choose(folder: Path, method: str) -> None:
    """Make a method the candidate, so that the same is shipped at every size."""
    path = folder / layout.EVALUATION
    summary = Summary.load(path)
    chosen = summary.candidate.model_copy(update={"method": method})
    summary.model_copy(update={"candidate": chosen}).save(path)


def cost_of(folder: Path, command: Sequence[str]) -> dict[str, float]:
    """Seconds of CPU and peak of memory of one stage, run in ``folder``."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    own = {"COLDSTART_HOME": str(folder / "home"), "COLDSTART_TRACKING": "off"}
    path = folder / "cost.json"
    subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "cost_of.py"), str(path), *command],
        cwd=folder,
        env={**os.environ, **limits, **own},
        check=True,
    )
    found: dict[str, float] = json.loads(path.read_bytes())
    return found


def table(of_sizes: dict[int, Costs]) -> list[str]:
    """A row per stage: seconds, what a decade costs over ten times the one before, and the peak."""
    sizes = sorted(of_sizes)
    header = ["stage", *(f"{_power(n)}, s" for n in sizes)]
    header += [f"{_power(n)} / linear" for n in sizes[1:]]
    header += [f"{_power(n)}, MiB" for n in sizes]
    body = []
    for stage in dict.fromkeys(stage for costs in of_sizes.values() for stage in costs):
        found = [of_sizes[n].get(stage) for n in sizes]
        cells = ["" if cost is None else f"{cost['seconds']:.1f}" for cost in found]
        for i in range(1, len(sizes)):
            small, large = found[i - 1], found[i]
            if small is None or large is None:
                cells.append("")
                continue
            ratio = large["seconds"] / small["seconds"] / (sizes[i] / sizes[i - 1])
            cells.append(_marked(f"{ratio:.2f}", ratio > LIMIT_RATIO))
        for cost in found:
            peak = 0.0 if cost is None else cost["peak_mib"]
            cells.append(_marked(f"{peak:.0f}", peak > LIMIT_MIB) if cost else "")
        body.append([stage, *cells])
    return markdown(header, body)


def _power(n: int) -> str:
    exponent = len(str(n)) - 1
    return f"10^{exponent}" if n == 10**exponent else f"{n:,}"


def _marked(text: str, above: bool) -> str:
    return f"**{text}**" if above else text


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="scratch folder, kept")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of ratings")
    parser.add_argument(
        "--methods",
        nargs="+",
        default=METHODS,
        choices=[*BASELINES, *ALGORITHMS, *COMBINATIONS],
    )
    parser.add_argument("--until", help="last stage that is run, such as pretrain")
    parser.add_argument("--page", type=Path, help="document whose table is written anew")
    options = parser.parse_args()
    methods, work = needed(options.methods), options.work.resolve()
    sizes = sorted(options.sizes)
    lines = table({n: measured(work / str(n), n, methods, options.until) for n in sizes})
    print("\n".join(lines))
    if options.page:
        text = options.page.read_text(encoding="utf-8")
        options.page.write_text(PLACE.sub("\n".join(lines) + "\n", text), encoding="utf-8")


if __name__ == "__main__":
    main()
