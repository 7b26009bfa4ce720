"""Click-through: log loss and AUC of likes on cold users, per user and pooled.

Reads what a run with ``head: click`` wrote, the methods' bundles and the query of the cold users:

    coldstart params --set head=click --set gate.metric=log_loss \
        --set 'prepare.folds=[0,1,2,3,4]' \
        --set 'meta_train.algorithms=[maml, bayes_head, finetune]' > p && mv p params.yaml
    dvc repro evaluate
    python benchmarks/clicks.py popularity bias ridge vbpmf vbpmf_implicit \
        deepfm finetune maml bayes_head blend

Log loss and AUC per user are those of the leaderboard. The pooled AUC is over all pairs of a liked
and a not liked query item, whoever rated them, so a method must also know who likes much; its
interval is the percentile bootstrap over users.

Legend: B users, Q query items, R rows (users times items), T resamples.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coldstart.data.prepared import Prepared
from coldstart.errors import ParamsError
from coldstart.evaluation.formulas import pooled_auc
from coldstart.evaluation.leaderboard import TABLE, read_table
from coldstart.methods import fitted_methods, load_method
from coldstart.params import Params, load_params

RESAMPLES = 1000
METRICS = ("log_loss", "auc")


class Pooled(NamedTuple):
    """Predictions of one method for all cold users' queries."""

    scores_BQ: Tensor
    liked_BQ: Tensor


def predictions(name: str, k: int, prepared: Prepared, params: Params) -> Pooled:
    """Of all folds, with the first training seed."""
    scores, liked = [], []
    for fold in params.prepare.folds:
        method = next(m for m in fitted_methods(params, fold) if m.name == name)
        episodes = prepared.eval_episodes(fold, "cold")
        model = load_method(method.folder)
        state = model.adapt(episodes.support.first(k))
        scores.append(model.score(state, episodes.items_BQ).mean)
        liked.append(episodes.targets_BQ > 0)
    return Pooled(torch.cat(scores), torch.cat(liked))


def interval(found: Pooled, seed: int) -> tuple[float, float, float]:
    """Pooled AUC and its 95% interval over users."""
    scores_R = found.scores_BQ.flatten().double().numpy()
    liked_R = found.liked_BQ.flatten().numpy()
    B, Q = found.scores_BQ.shape
    rng = np.random.default_rng(seed)
    drawn_TB = rng.multinomial(B, np.full(B, 1 / B), size=RESAMPLES).astype(np.float64)
    value = pooled_auc(scores_R, liked_R, np.ones((1, B * Q)))[0]
    samples: NDArray[np.float64] = pooled_auc(scores_R, liked_R, drawn_TB.repeat(Q, axis=1))
    low, high = np.quantile(samples, (0.025, 0.975))
    return float(value), float(low), float(high)


def main() -> None:
    """Print one table per metric, methods by support sizes, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("methods", nargs="+")
    methods = parser.parse_args().methods
    params = load_params()
    if params.head != "click":
        raise ParamsError(f"head: {params.head!r} is not allowed: this reads a run with 'click'")
    torch.set_num_threads(params.threads)
    prepared, shots = Prepared.load(), params.prepare.shots
    table = read_table(TABLE)
    heading = f"K={' | K='.join(map(str, shots))} |\n|---{'|--:' * len(shots)}|"
    for metric in METRICS:
        print(f"\n| {metric} | {heading}")
        rows = table[table["metric"] == metric].set_index(["method", "k"])
        for name in methods:
            cells = [rows.loc[(name, k)] for k in shots]
            texts = [f"{c['mean']:.4f} ± {(c['high'] - c['low']) / 2:.4f}" for c in cells]
            print(f"| {name} | {' | '.join(texts)} |")
    print(f"\n| pooled auc | {heading}")
    with torch.no_grad():
        for name in methods:
            found = [interval(predictions(name, k, prepared, params), params.seed) for k in shots]
            texts = [f"{value:.4f} ± {(high - low) / 2:.4f}" for value, low, high in found]
            print(f"| {name} | {' | '.join(texts)} |")


if __name__ == "__main__":
    main()
