"""How quality grows with the number of historical users: 12.5, 25, 50 and 100% of them.

    python benchmarks/learning_curve.py --folds 0 1 --json > artifacts/learning_curve/ml-100k.json
    python benchmarks/learning_curve.py --plot artifacts/learning_curve/*.json --out curve.png

Each share is drawn at random and holds the smaller ones; everything is fitted anew on it, with the
numbers of ``params.yaml``, and scored by our evaluator on the same cold users of ``data.name``.
Validation users, who stop trainings early, are the same for all shares.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from coldstart import layout
from coldstart.algorithms import ALGORITHMS
from coldstart.algorithms import check_params as check_algorithms
from coldstart.baselines import BASELINES
from coldstart.baselines._fitting import fit_backbones, fit_baselines
from coldstart.data.prepared import Prepared
from coldstart.data.sources import read_source
from coldstart.data.spare import spare_choices
from coldstart.data.tables import prepare_source
from coldstart.evaluation.evaluation_set import evaluation_set
from coldstart.evaluation.leaderboard import compare, leaderboard
from coldstart.evaluation.metrics import METRICS
from coldstart.evaluation.protocol import evaluate
from coldstart.models.heads import HEADS
from coldstart.models.recommender import Recommender
from coldstart.params import Params, load_params
from coldstart.training.checkpoint import Checkpoints
from coldstart.training.fold import train
from coldstart.training.interrupt import Interrupt

SHARES = (0.125, 0.25, 0.5, 1.0)
METHODS = ("bias", "ridge", "vbpmf", "maml", "bayes_head")
FLAGSHIP = "bayes_head"


def thinned(prepared: Prepared, fold: int, share: float, seed: int) -> Prepared:
    """The same data with a share of the fold's historical users; the others play no part."""
    users = np.random.default_rng(seed).permutation(prepared.role_users(fold, "historical"))
    left_out = users[round(share * len(users)) :]
    split = prepared.split
    out = (split["fold"] == fold) & split["user"].isin(left_out)
    return replace(prepared, split=split[~out])


def fitted(
    prepared: Prepared, params: Params, fold: int, names: tuple[str, ...]
) -> dict[str, Recommender]:
    """Every method, on the historical users that ``prepared`` has."""
    history = prepared.history(fold)
    validation = spare_choices(prepared, fold)
    algorithms: dict[str, Any] = check_algorithms(params)
    baselines = [name for name in names if name in BASELINES]
    backbones = fit_backbones(history, validation, params, baselines)
    models = dict(fit_baselines(history, validation, params, backbones, baselines))
    backbone = backbones[params.pretrain.backbone]
    for name in [name for name in names if name in algorithms]:
        head, seed = HEADS[params.head], params.meta_train.seeds[0]
        start = ALGORITHMS[name].create(backbone, algorithms[name], head, seed)
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = Checkpoints(Path(folder))
            models[name] = train(
                start, params, history, validation, seed, checkpoints, Interrupt()
            ).learner
    return models


def results(params: Params, names: tuple[str, ...]) -> pd.DataFrame:
    """Per-user metrics on cold users; a column ``share``, and the mean number of users."""
    source = read_source(layout.DATA / params.data.name, params.data.name)
    prepared = prepare_source(
        source, params.data, params.prepare, seed=params.seed, head=params.head
    )
    frames = []
    for fold in params.prepare.folds:
        target = evaluation_set(prepared, params, fold, "cold")
        for share in SHARES:
            part = thinned(prepared, fold, share, params.seed)
            n_users = len(part.role_users(fold, "historical"))
            for name, model in fitted(part, params, fold, names).items():
                found = evaluate(model, target, prepared.shots, catalogue=False).users
                found = found.assign(method=name, fold=fold, seed=0, role="cold")
                frames.append(found.assign(share=share, n_users=n_users))
            print(f"fold {fold}, {n_users} historical users: done", file=sys.stderr)
    return pd.concat(frames, ignore_index=True)


def summary(users: pd.DataFrame, params: Params) -> dict[str, Any]:
    """Levels with intervals, and the flagship minus each other method, at each share."""
    levels, differences = [], []
    for share, part in users.groupby("share"):
        size = {"share": share, "users": round(part.groupby("fold")["n_users"].first().mean())}
        rows = leaderboard(part.drop(columns="n_users"), pd.DataFrame(), params.evaluate, 0)
        levels.append(rows[rows["metric"] == "rmse"].assign(**size))
        others = [name for name in part["method"].unique() if name != FLAGSHIP]
        pairs = [(FLAGSHIP, name) for name in others]
        differences.append(compare(part, pairs, METRICS["rmse"], params.evaluate, 0).assign(**size))
    tables = {"rows": pd.concat(levels), "differences": pd.concat(differences)}
    found = {name: json.loads(table.to_json(orient="records")) for name, table in tables.items()}
    cold = users.groupby("fold")["user"].nunique()
    about = {"dataset": params.data.name, "folds": [int(f) for f in cold.index]}
    return {**about, "cold_users": int(cold.sum()), **found}


def markdown(found: dict[str, Any], k: int) -> str:
    """A row per method, a column per share; below it the flagship minus the method."""
    rows = pd.DataFrame(found["rows"]).query("k == @k")
    against = pd.DataFrame(found["differences"]).query("k == @k")
    sizes = rows.groupby("share")["users"].first()
    lines = [f"| {found['dataset']}, rmse, K={k} | " + " | ".join(map(str, sizes)) + " |"]
    lines.append("|---|" + "--:|" * len(sizes))
    for name in rows["method"].unique():
        means = rows[rows["method"] == name].sort_values("share")["mean"]
        lines.append(f"| {name} | " + " | ".join(f"{mean:.4f}" for mean in means) + " |")
        other = against[against["b"] == name].sort_values("share")
        cells = [
            f"{r['mean']:+.4f} [{r['low']:+.4f}, {r['high']:+.4f}]" for _, r in other.iterrows()
        ]
        if cells:
            lines.append(f"| *{FLAGSHIP} minus it* | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(results: list[dict[str, Any]], k: int, path: Path) -> None:
    """A panel per dataset: RMSE at K ratings over the number of historical users."""
    mpl.use("Agg")
    figure, axes = plt.subplots(
        1, len(results), figsize=(4.6 * len(results), 3.6), squeeze=False, layout="constrained"
    )
    colours = {"bias": "#999999", "ridge": "#E69F00", "vbpmf": "#009E73", "maml": "#56B4E9"}
    for axis, found in zip(axes[0], results, strict=True):
        rows = pd.DataFrame(found["rows"]).query("k == @k")
        for name in rows["method"].unique():
            line = rows[rows["method"] == name].sort_values("users")
            own = name == FLAGSHIP
            axis.plot(
                line["users"],
                line["mean"],
                marker="o",
                markersize=4,
                color=colours.get(name, "#D55E00"),
                linewidth=2.5 if own else 1.5,
                label=name,
            )
        axis.set_xscale("log", base=2)
        axis.set_xticks(sorted(rows["users"].unique()), labels=sorted(rows["users"].unique()))
        axis.minorticks_off()
        axis.set(xlabel="historical users", ylabel=f"RMSE after {k} ratings")
        axis.set_title(f"{found['dataset']}, {found['cold_users']} cold users", fontsize=10)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=int, nargs="+", help="prepare.folds unless told otherwise")
    parser.add_argument("--shot", type=int, default=5, help="K that is shown and plotted")
    parser.add_argument("--json", action="store_true", help="print one JSON object and no table")
    parser.add_argument("--plot", type=Path, nargs="+", help="draw these results; fit nothing")
    parser.add_argument("--out", type=Path, default=Path("learning_curve.png"))
    options = parser.parse_args()
    if options.plot:
        found = [json.loads(path.read_bytes()) for path in options.plot]
        plot(found, options.shot, options.out)
        print("\n\n".join(markdown(one, options.shot) for one in found))
        return
    params = load_params()
    if options.folds:
        section = params.prepare.model_copy(update={"folds": tuple(options.folds)})
        params = params.model_copy(update={"prepare": section})
    torch.set_num_threads(params.threads)
    result = summary(results(params, METHODS), params)
    print(json.dumps(result) if options.json else markdown(result, options.shot))


if __name__ == "__main__":
    main()
