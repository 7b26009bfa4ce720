"""Are the classical baselines tuned? Grids twice as wide as what ``coldstart tune`` searches.

    coldstart params --set 'prepare.folds=[0,1,2]' > p && mv p params.yaml
    dvc repro -s validate prepare pretrain
    python benchmarks/wider_grids.py          # --json for machines

The factors that ridge folds into (backbone ``mf``, judged by ridge), ridge, bias, itemknn and ease;
of the last two what they add to bias. Every field that ``coldstart tune`` chooses is moved alone
over a grid of twice the range, in logarithms, around the same middle; then the best value of each
together. The objective is that of
``coldstart tune``: RMSE on validation users over folds and all K. A method is tuned if the best of
all these settings is better than ``params.yaml`` by .002 at most.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
import torch

from coldstart.baselines import BASELINES
from coldstart.data.prepared import Prepared
from coldstart.errors import ParamsError
from coldstart.params import Params, load_params
from coldstart.progress import progress
from coldstart.tuning.objective import Objective
from coldstart.tuning.space import Range, Values
from coldstart.tuning.target import Target

NAMES = ("mf", "ridge", "bias", "itemknn", "ease")
MARGIN = 0.002


def target_of(name: str, params: Params) -> Target:
    if name == "mf":
        section = params.pretrain.mf
        return Target("pretrain", name, type(section), section.model_dump(mode="json"))
    return Target("baselines", name, BASELINES[name].Params, params.baselines[name])


def wide_grid(declared: Range, points: int) -> list[float | int]:
    """Values, ``points`` of them, whose logarithms span twice the declared range."""
    low, high, _, integer = declared
    factor = (high / low) ** 0.5
    values = np.geomspace(low / factor, high * factor, points)
    if integer:
        return sorted({max(1, round(value)) for value in values.tolist()})
    return [float(f"{value:.3g}") for value in values]


def search(name: str, params: Params, prepared: Prepared, points: int) -> dict[str, Any]:
    """The chosen setting and the best one found, with their errors."""
    target = target_of(name, params)
    objective = Objective(target, params, prepared, params.prepare.folds)

    def error(values: Values) -> float:
        return objective(target.at(values), lambda step, value: None)

    chosen = error({})
    lines: dict[str, list[tuple[float, float]]] = {}
    own = [field for field in target.space if field in target.kind.__annotations__]
    grid = [(field, value) for field in own for value in wide_grid(target.space[field], points)]
    for field, value in progress(grid, name):
        try:
            lines.setdefault(field, []).append((error({field: value}), value))
        except ParamsError:
            continue  # beyond what the method allows
    tried: list[tuple[float, Values]] = [(chosen, {})]
    tried += [(e, {field: value}) for field, found in lines.items() for e, value in found]
    together = {f: min(found)[1] for f, found in lines.items() if min(found)[0] < chosen}
    if len(together) > 1:
        tried.append((error(together), together))
    best, setting = min(tried, key=lambda entry: entry[0])
    return {
        "method": name,
        "chosen": chosen,
        "best": best,
        "gain": chosen - best,
        "settings": len(tried),
        "change": setting,
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    lines = ["| method | params.yaml | best found | gain | settings | by |"]
    lines.append("|---|--:|--:|--:|--:|---|")
    for row in rows:
        gain = f"{row['gain']:.4f}" if row["gain"] <= MARGIN else f"**{row['gain']:.4f}**"
        change = ", ".join(f"{key} {value:g}" for key, value in row["change"].items()) or "as it is"
        cells = (row["method"], f"{row['chosen']:.4f}", f"{row['best']:.4f}", gain)
        lines.append(f"| {' | '.join(cells)} | {row['settings']} | {change} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=NAMES, choices=NAMES)
    parser.add_argument("--points", type=int, default=5, help="values of each field")
    parser.add_argument("--json", action="store_true", help="print one JSON array and no table")
    options = parser.parse_args()
    params, prepared = load_params(), Prepared.load()
    torch.set_num_threads(params.threads)
    rows = [search(name, params, prepared, options.points) for name in options.methods]
    print(json.dumps(rows) if options.json else markdown(rows))


if __name__ == "__main__":
    main()
