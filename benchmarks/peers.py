"""Peers on our splits, tuned by our metric and scored by our evaluator, beside our methods.

    pip install -c constraints.txt -e '.[peers]'      # LightFM is built: needs a C compiler
    python -m venv .venv/lenskit && .venv/lenskit/bin/pip install -r benchmarks/lenskit.txt
    dvc repro evaluate                                # ours, for the data and folds of params.yaml
    python benchmarks/peers.py --page docs/benchmarks/lists.md

``--goal list`` compares lists; ``--goal rating`` predicted ratings. Of each peer the same number of
settings (``--settings``) is tried, drawn at random from its space; the one with the best mean over
all K on validation users, by ``list_recall@10`` or RMSE, is evaluated on cold users. Nothing of a
cold user is read but the support, and for a fold nobody has a say who is cold in it. What was
computed once is kept under ``artifacts/peers``; an interrupted run goes on.

LensKit 2025.8.1 needs pandas 2 and this project pandas 3, so its peers run from an environment of
their own, by this script, started by this script. Left out: RecTools 0.19 (needs attrs below 24;
its LightFM is here), RecBole (Cornac has the newer autoencoder), LensKit's BiasedSVD (does not
score users outside its training data).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from coldstart import layout
from coldstart.data.prepared import Prepared
from coldstart.errors import ColdstartError, ParamsError
from coldstart.evaluation.leaderboard import TABLE, USERS, read_table
from coldstart.evaluation.summary import Summary
from coldstart.params import load_params
from peer_libraries.adapter import Peer
from peer_tables import Found, block, into_page, tables_of
from peer_trials import RESULTS, Context, choose

LISTS = {
    "popularity": "popular_peers",
    "popularity_likes": "popular_peers",
    "popularity_alike": "popular_peers",
    "item_knn": "implicit_peers",
    "user_knn": "closed_form_peers",
    "ease_r": "closed_form_peers",
    "edlae": "closed_form_peers",
    "als": "implicit_peers",
    "slim": "lenskit_peers",
    "warp": "lightfm_peers",
    "rec_vae": "cornac_peers",
}
RATINGS = {
    "cornac_mf": "cornac_peers",
    "lenskit_biasedmf": "lenskit_peers",
    "lenskit_itemknn": "lenskit_peers",
}
GOALS = {"list": LISTS, "rating": RATINGS}
MODULES = {**LISTS, **RATINGS}
"""The module of each peer, so that one can be run where the packages of others are missing."""
LENSKIT = Path(".venv/lenskit/bin/python")


def peer_of(name: str) -> Peer:
    """Import it.

    Raises:
        ParamsError: a package is missing.
    """
    try:
        peer: Peer = import_module(f"peer_libraries.{MODULES[name]}").PEERS[name]
    except ModuleNotFoundError as error:
        raise ParamsError(f"{name}: {error}; {__file__} says what to install") from error
    return peer


def fit(names: Sequence[str], context: Context, most: int, lenskit: Path | None) -> None:
    """Every peer in turn; LensKit's in a process of its environment, unless this is one: None."""
    inside = [n for n in names if MODULES[n] != "lenskit_peers" or lenskit is None]
    for name in inside:
        record = choose(name, peer_of(name), context, most)
        best = max if not record["rating"] else min
        value = best(trial["value"] for trial in record["trials"])
        print(f"{record['title']}: {record['metric']} {value:.4f} on validation", file=sys.stderr)
    others = [name for name in names if name not in inside]
    if not others or lenskit is None:
        return
    if not lenskit.is_file():
        raise ParamsError(
            f"{', '.join(others)}: {lenskit} not found; {__file__} says how to make it"
        )
    paths = os.pathsep.join(path for path in sys.path if path.endswith("src"))
    command = [lenskit, __file__, "--fit-only", "--settings", str(most)]
    threads = str(context.params.threads)
    environment = {**os.environ, "PYTHONPATH": paths or "src", "LK_NUM_THREADS": threads}
    subprocess.run([*map(str, command), "--peers", *others], check=True, env=environment)


def peers_found(names: Sequence[str], context: Context) -> dict[str, dict[str, Any]]:
    """Records of the peers.

    Raises:
        ParamsError: one is of other data.
    """
    records = {name: json.loads((RESULTS / f"{name}.json").read_bytes()) for name in names}
    for name, record in records.items():
        if record["data"] != context.data or record["folds"] != list(context.params.prepare.folds):
            raise ParamsError(f"{name}: its results are of other data or folds; fit it again")
    return records


def ours_found(methods: Sequence[str], context: Context) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Per-user results and coverage of our methods on the cold users.

    Raises:
        ArtefactError: nothing was evaluated here.
        ParamsError: it was of other data, or without a method.
    """
    summary, users = Summary.load(layout.EVALUATION), read_table(USERS)
    prepared, folds = context.prepared, context.params.prepare.folds
    known = summary.data["digest"], summary.folds, summary.shots
    if known != (prepared.summary["digest"], folds, prepared.shots):
        raise ParamsError("artifacts/evaluation: of other data or folds; run `dvc repro evaluate`")
    users = users[(users["role"] == "cold") & users["method"].isin(methods)]
    for name in set(methods) - set(users["method"]):
        raise ParamsError(f"{name}: was not evaluated here; see `coldstart leaderboard`")
    table = read_table(TABLE)
    covered = table[(table["metric"] == "coverage") & table["method"].isin(methods)]
    return users, covered.rename(columns={"mean": "coverage"})[["method", "k", "coverage"]]


def gather(names: Sequence[str], ours: Sequence[str], context: Context) -> Found:
    """What the tables are made of: ours first."""
    records = peers_found(names, context)
    of_ours = [name for name in ours if name not in names]
    users, coverage = ours_found(of_ours, context) if of_ours else (pd.DataFrame(), pd.DataFrame())
    peers = pd.concat(
        [pd.read_parquet(RESULTS / f"{name}.parquet") for name in names], ignore_index=True
    )
    frames = [users, peers.drop(columns="coverage")]
    cells = peers[["method", "fold", "k", "coverage"]].drop_duplicates()
    return Found(
        users=pd.concat([frame for frame in frames if len(frame)], ignore_index=True),
        coverage=pd.concat([coverage, cells.drop(columns="fold")], ignore_index=True),
        records=records,
        ours=tuple(ours),
    )


def parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    own = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    own.add_argument("--goal", choices=GOALS, default="list", help="what is compared")
    own.add_argument("--peers", nargs="+", choices=MODULES, help="only these")
    own.add_argument("--settings", type=int, default=12, help="settings tried of each peer")
    own.add_argument(
        "--ours",
        nargs="+",
        help="our methods; peers are subtracted from the first (default: the candidate)",
    )
    own.add_argument("--lenskit", type=Path, default=LENSKIT, help="python with LensKit")
    own.add_argument("--page", type=Path, help="put the tables into this page")
    own.add_argument("--json", action="store_true", help="print one JSON object and no table")
    own.add_argument("--fit-only", action="store_true", help="no table; all in this environment")
    return own


def main() -> None:
    options = parser().parse_args()
    params, prepared = load_params(), Prepared.load(layout.PREPARED)
    torch.set_num_threads(params.threads)
    context = Context.of(prepared, params)
    names = options.peers or list(GOALS[options.goal])
    ours = options.ours or []
    if not ours and not options.fit_only:
        ours = [Summary.load(layout.EVALUATION).candidate.method]
    fit(names, context, options.settings, None if options.fit_only else options.lenskit)
    if options.fit_only:
        return
    tables = tables_of(gather(names, ours, context), options.goal, params)
    if options.json:
        print(json.dumps(tables.as_json()))
        return
    text = block(tables, context, options.settings)
    print(text)
    if options.page:
        into_page(options.page, text)


if __name__ == "__main__":
    try:
        main()
    except ColdstartError as error:
        sys.exit(f"error: {error}")
