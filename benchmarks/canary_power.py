"""Does the canary of shuffled labels notice a leak, and is it silent without one?

    python benchmarks/canary_power.py               # --json for machines

Every seed splits ml-100k anew (one fold, as in a default run) and fits the methods again; half of
the question is how often the canary fails an honest run, the other half how often it fails one in
which a share of the support labels are true. A label is true by itself (``label``), or all of a
user's are (``user``). Which labels is another random choice in each circle of the shuffle.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import torch

from coldstart.baselines._fitting import fit_backbones, fit_baselines
from coldstart.data.sources import Source, read_source
from coldstart.data.spare import spare_choices
from coldstart.data.tables import prepare_source
from coldstart.evaluation import shuffled_labels
from coldstart.evaluation.evaluation_set import EvaluationSet, evaluation_set
from coldstart.evaluation.metrics import METRICS
from coldstart.evaluation.shuffled_labels import check_shuffled, shuffled, shuffled_gains
from coldstart.params import Params, load_params
from coldstart.progress import progress

DATASET = "ml-100k"
KINDS = ("label", "user")


def leaky(share: float, kind: str) -> Any:
    """A shuffle that leaves a share of the labels, or of the users, as they were."""

    def shuffle(target: EvaluationSet, seed: int) -> EvaluationSet:
        passed_on = shuffled(target, seed)
        true_BS, false_BS = (t.episodes.support.targets_BS for t in (target, passed_on))
        width = true_BS.shape[1] if kind == "label" else 1
        generator = torch.Generator().manual_seed(seed)
        kept_BS = torch.rand(len(true_BS), width, generator=generator) < share
        support = target.episodes.support._replace(targets_BS=true_BS.where(kept_BS, false_BS))
        return replace(target, episodes=target.episodes._replace(support=support))

    return shuffle


def of_seed(
    source: Source,
    params: Params,
    seed: int,
    names: list[str],
    shuffles: dict[str, Any],
    metrics: list[str],
) -> list[dict[str, Any]]:
    """Whether each check failed, with each way to shuffle."""
    pretrain = params.pretrain.model_copy(update={"backbone": "mf"})  # the quickest
    params = params.model_copy(update={"seed": seed, "pretrain": pretrain})
    prepared = prepare_source(source, params.data, params.prepare, seed=seed, head=params.head)
    fold = params.prepare.folds[0]
    history, validation = prepared.history(fold), spare_choices(prepared, fold)
    cold, shots = evaluation_set(prepared, params, fold, "cold"), params.prepare.shots
    backbones = fit_backbones(history, validation, params, names)
    rows = []
    for name, model in fit_baselines(history, validation, params, backbones, names):
        for metric in metrics:
            for leak, shuffle in shuffles.items():
                with patch.object(shuffled_labels, "shuffled", shuffle):
                    gains = shuffled_gains(model, cold, shots, METRICS[metric], seed)
                check = check_shuffled(name, gains, METRICS[metric])
                found = {"gain": check.value, "honest": gains["honest"].mean()}
                rows.append(
                    {"seed": seed, "method": name, "metric": metric, "leak": leak, **found}
                    | {"limit": check.limit, "failed": not check.ok}
                    | {"powerless": check.note.startswith("no power")}
                )
    return rows


def main() -> None:
    """Fit, shuffle and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", default="vbpmf_implicit", help="baselines")
    parser.add_argument("--metrics", default="rmse", help="for instance rmse,auc")
    parser.add_argument("--seeds", type=int, default=100, help="without a leak")
    parser.add_argument("--leaky-seeds", type=int, default=20, help="with one: the first ones")
    parser.add_argument("--share", type=float, default=0.25, help="of labels that are true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.getLogger("coldstart").setLevel(logging.WARNING)
    torch.set_num_threads(1)
    params = load_params(Path("params.yaml"))
    source = read_source(Path("data") / DATASET, DATASET)
    rows: list[dict[str, Any]] = []
    names, metrics = options.methods.split(","), options.metrics.split(",")
    leaks = {kind: leaky(options.share, kind) for kind in KINDS}
    for seed in progress(range(options.seeds), "seeds"):
        shuffles = {"none": shuffled, **(leaks if seed < options.leaky_seeds else {})}
        rows += of_seed(source, params, seed, names, shuffles, metrics)
    table = pd.DataFrame(rows)
    told = table.groupby(["method", "metric", "leak"], sort=False).agg(
        seeds=("seed", "size"),
        failed=("failed", "sum"),
        powerless=("powerless", "sum"),
        gain=("gain", "mean"),
        largest=("gain", "max"),
        limit=("limit", "mean"),
        honest=("honest", "mean"),
    )
    if options.json:
        print(json.dumps(told.reset_index().to_dict("records"), indent=1))
    else:
        print(told.round(4).to_string())


if __name__ == "__main__":
    main()
