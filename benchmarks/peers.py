"""Peers on our splits, scored by our evaluator, beside our results on the same cold users.

    dvc repro evaluate                        # ours, for the folds of params.yaml
    python benchmarks/peers.py --fit all      # implicit, LightFM and Cornac: extra ``peers``
    python benchmarks/peers.py                # the table; --json for machines

Of each peer, the setting of its grid with the best mean over K >= 3 on the validation users of all
folds is evaluated on the cold users; rating predictors are chosen by RMSE, rankers, which have no
rating scale, by Recall@10 of the whole catalogue. Results go to ``artifacts/peers``.

LensKit 2025.8.1 needs pandas 2 and this project pandas 3, so it is not in the extra: it runs from
an environment of its own, by the same script, and its results join the same table.

    python -m venv .venv/lenskit
    .venv/lenskit/bin/pip install -r benchmarks/lenskit.txt
    PYTHONPATH=src .venv/lenskit/bin/python benchmarks/peers.py --fit lenskit

RecTools 0.19 needs attrs below 24 and is left out; its LightFM is here.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from coldstart import layout
from coldstart.data.prepared import Prepared
from coldstart.evaluation.evaluation_set import EvaluationSet, Role, evaluation_set
from coldstart.evaluation.leaderboard import USERS, compare, leaderboard, read_table
from coldstart.evaluation.protocol import evaluate
from coldstart.params import Params, load_params
from peer_libraries.adapter import (
    Peer,
    PeerRecommender,
    Setting,
    item_means,
    popularity,
    rated_history,
)

MODULES = {
    "implicit_als": "implicit_peers",
    "lightfm_warp": "lightfm_peers",
    "cornac_mf": "cornac_peers",
    "lenskit_biasedmf": "lenskit_peers",
    "lenskit_itemknn": "lenskit_peers",
    "lenskit_ease": "lenskit_peers",
}
GROUPS = {
    "all": [name for name in MODULES if not name.startswith("lenskit")],
    "lenskit": [name for name in MODULES if name.startswith("lenskit")],
}
RESULTS = Path("artifacts/peers")
RATING_METRICS = ("rmse", "mae", "ndcg@5", "auc")
RANKING_METRICS = ("ndcg@5", "auc", "recall@10")
CHOSEN_FROM_K = 3


def recommender(peer: Peer, prepared: Prepared, fold: int, setting: Setting) -> PeerRecommender:
    history = rated_history(prepared, fold)
    fallback_N = item_means(history) if peer.rating else popularity(history)
    scorer = peer.fit(prepared, fold, setting)
    return PeerRecommender(scorer, fallback_N, peer.rating, prepared.unit(fold))


def sets(prepared: Prepared, params: Params, role: Role) -> dict[int, EvaluationSet]:
    return {f: evaluation_set(prepared, params, f, role) for f in params.prepare.folds}


def validation_loss(
    peer: Peer, prepared: Prepared, setting: Setting, targets: dict[int, EvaluationSet]
) -> float:
    """MSE, or minus Recall@10: per user, then over the users and K of all folds."""
    shots = [k for k in prepared.shots if k >= CHOSEN_FROM_K]
    frames = []
    for fold, target in targets.items():
        model = recommender(peer, prepared, fold, setting)
        frames.append(evaluate(model, target, shots, catalogue=not peer.rating).users)
    users = pd.concat(frames)
    return float(users["mse"].mean() if peer.rating else -users["recall@10"].mean())


def fit(name: str, prepared: Prepared, params: Params) -> None:
    """Choose on validation users, evaluate on cold users, write both."""
    try:
        peer: Peer = import_module(f"peer_libraries.{MODULES[name]}").PEERS[name]
    except ModuleNotFoundError as error:
        raise SystemExit(f"{name}: {error}; {__file__} says what to install") from error
    validation = sets(prepared, params, "validation")
    trials = [
        {"setting": s, "loss": round(validation_loss(peer, prepared, s, validation), 6)}
        for s in peer.grid
    ]
    chosen = min(trials, key=lambda trial: trial["loss"])["setting"]
    frames = []
    for fold, target in sets(prepared, params, "cold").items():
        model = recommender(peer, prepared, fold, chosen)
        users = evaluate(model, target, prepared.shots, catalogue=True).users
        frames.append(users.assign(method=name, fold=fold, seed=0, role="cold"))
    users = pd.concat(frames, ignore_index=True)
    if not peer.rating:
        users = users.drop(columns=["mse", "mae"])
    RESULTS.mkdir(parents=True, exist_ok=True)
    users.to_parquet(RESULTS / f"{name}.parquet", index=False)
    record = {
        "package": f"{peer.package} {version(peer.package)}",
        "rating": peer.rating,
        "chosen": chosen,
        "trials": trials,
        "data": identity(prepared),
    }
    text = json.dumps(record, indent=1, sort_keys=True)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def identity(prepared: Prepared) -> dict[str, Any]:
    """What results must agree in to be compared."""
    names = ("digest", "split", "folds", "shots", "query_size", "min_ratings")
    return {name: prepared.summary[name] for name in names}


def fitted(prepared: Prepared) -> dict[str, dict[str, Any]]:
    """Records of the peers whose results are there, all of the data as it is prepared now."""
    records = {}
    for name in MODULES:
        path = RESULTS / f"{name}.json"
        if path.is_file():
            records[name] = json.loads(path.read_bytes())
            if records[name]["data"] != identity(prepared):
                raise SystemExit(f"{path}: of other data or folds; fit {name} again")
    return records


def differences(
    users: pd.DataFrame, ours: str, peers: dict[str, bool], params: Params
) -> pd.DataFrame:
    """Rows of ``ours`` minus each peer, on the metrics that the peer has."""
    parts = []
    for metric in dict.fromkeys((*RATING_METRICS, *RANKING_METRICS)):
        pairs = [
            (ours, name)
            for name, rating in peers.items()
            if metric in (RATING_METRICS if rating else RANKING_METRICS)
        ]
        if pairs:
            parts.append(compare(users, pairs, metric, params.evaluate, params.seed))
    return pd.concat(parts, ignore_index=True)


def markdown(rows: pd.DataFrame, metric: str, against: pd.DataFrame) -> Iterable[str]:
    """A row per method: the mean at each K, and below a peer the difference with interval."""
    shown = rows[rows["metric"] == metric]
    shots = sorted(shown["k"].unique())
    yield f"| {metric} | " + " | ".join(f"K={k}" for k in shots) + " |"
    yield "|---|" + "--:|" * len(shots)
    for name in shown["method"].unique():
        means = shown[shown["method"] == name].set_index("k")["mean"]
        yield f"| {name} | " + " | ".join(f"{means[k]:.4f}" for k in shots) + " |"
        other = against[(against["metric"] == metric) & (against["b"] == name)].set_index("k")
        if len(other):
            cells = [
                f"{r['mean']:+.4f} [{r['low']:+.4f}, {r['high']:+.4f}]"
                for _, r in other.loc[shots].iterrows()
            ]
            yield f"| *{other['a'].iloc[0]} minus it* | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--fit", nargs="+", default=[], choices=[*GROUPS, *MODULES], help="peers to fit anew"
    )
    parser.add_argument("--ours", default="bayes_head", help="method that the peers are taken from")
    parser.add_argument(
        "--beside",
        nargs="*",
        default=["popularity", "bias", "ridge"],
        help="more of our methods to show",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and no table")
    options = parser.parse_args()
    params, prepared = load_params(), Prepared.load(layout.PREPARED)
    torch.set_num_threads(params.threads)
    for name in [name for given in options.fit for name in GROUPS.get(given, [given])]:
        fit(name, prepared, params)
    if options.fit:
        return
    records = fitted(prepared)
    known = read_table(USERS)
    shown = known["method"].isin([*options.beside, options.ours])
    frames = [known[shown & (known["role"] == "cold")]]
    frames += [pd.read_parquet(RESULTS / f"{name}.parquet") for name in records]
    users = pd.concat(frames, ignore_index=True)
    rows = leaderboard(users, pd.DataFrame(), params.evaluate, params.seed)
    ratings = {name: record["rating"] for name, record in records.items()}
    against = differences(users, options.ours, ratings, params)
    if options.json:
        content = {"rows": rows, "differences": against}
        found = {name: json.loads(part.to_json(orient="records")) for name, part in content.items()}
        print(json.dumps({**found, "chosen": {n: r["chosen"] for n, r in records.items()}}))
        return
    for metric in dict.fromkeys((*RATING_METRICS, *RANKING_METRICS)):
        print("\n".join(markdown(rows, metric, against)), end="\n\n")


if __name__ == "__main__":
    main()
