"""Adapt to five ratings and rank all of ml-100k: every method, beside `implicit` and LensKit.

All are fitted on the same historical users and then serve the same cold users, on the same number
of threads: adapt, score every item, return the ten best that are not in the support. Alone is one
user after another, as a service meets them; batched is all cold users in one call, per user. What
each takes as input (tensors, CSR rows, item lists) is built beforehand. Rounds alternate in one
process; medians over all rounds, and over users where they come alone. Needs ``data/ml-100k``
(``coldstart fetch``) and the extra ``bench``.

`implicit` runs twice: with its default number of factors (``implicit_als``) and, to see what that
does, with as few as ours (``implicit_als_small``). LensKit is measured where its environment is
(``peers.py`` says how it is made), in a process of its own right after; it has no call that adapts
to a batch of new users. Speed does not depend on meta-training, so learners are used as they start,
and combinations are made from those.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from coldstart.algorithms import ALGORITHMS
from coldstart.algorithms import check_params as check_algorithms
from coldstart.baselines import BASELINES, check_params
from coldstart.baselines._fitting import fit_backbones, fit_baselines
from coldstart.combinations import COMBINATIONS
from coldstart.combinations import check_params as check_combinations
from coldstart.combinations.base import Ingredients
from coldstart.data.episodes import Support
from coldstart.data.prepared import Prepared
from coldstart.data.spare import spare_choices
from coldstart.models.heads import HEADS
from coldstart.params import Params, load_params
from peer_libraries.adapter import rated_history, rated_support
from serving import (
    FOLD,
    SHOTS,
    TOP,
    Items,
    Latency,
    Server,
    check,
    cold_support,
    measure,
    prepared_ml100k,
    with_coldstart,
)

OURS = "bayes_head"
IMPLICIT_FACTORS = 100  # the default of implicit 0.7.3
LENSKIT = Path(".venv/lenskit/bin/python")


def with_implicit(model: AlternatingLeastSquares, support: Support) -> Server:
    n_users, n_items = support.n_users, model.item_factors.shape[0]
    items_BS, ratings_BS = support.items_BS.int().numpy(), support.targets_BS.numpy()

    def matrix(rows: slice) -> csr_matrix:
        items, ratings = items_BS[rows], ratings_BS[rows]
        starts = np.arange(len(items) + 1, dtype=np.int32) * SHOTS
        return csr_matrix((ratings.ravel(), items.ravel(), starts), shape=(len(items), n_items))

    users = [matrix(slice(row, row + 1)) for row in range(n_users)]
    everybody, ids = matrix(slice(None)), np.arange(n_users)

    def one(row: int) -> Items:
        items: Items = model.recommend(0, users[row], N=TOP, recalculate_user=True)[0]
        return items

    def batch() -> Items:
        items: Items = model.recommend(ids, everybody, N=TOP, recalculate_user=True)[0]
        return items

    return Server(one, batch)


def ours(
    prepared: Prepared, params: Params, support: Support, wanted: set[str]
) -> dict[str, Server]:
    """The baselines, then the algorithms, then the combinations."""
    sections: dict[str, Any] = check_combinations(params)
    for name in reversed(sections):  # one may be made from one before
        if name in wanted:
            wanted = wanted.union(COMBINATIONS[name].wanted(sections[name]))
    history = prepared.history(FOLD)
    validation = spare_choices(prepared, FOLD)
    baselines = [name for name in check_params(params) if name in wanted]
    backbones = fit_backbones(history, validation, params, baselines)
    models = dict(fit_baselines(history, validation, params, backbones, baselines))
    backbone = backbones[params.pretrain.backbone]
    algorithms: dict[str, Any] = dict(check_algorithms(params))
    for name in [name for name in algorithms if name in wanted]:
        models[name] = ALGORITHMS[name].create(
            backbone, algorithms[name], HEADS[params.head], params.seed
        )
    for name in [name for name in sections if name in wanted]:
        of = {part: models[part] for part in COMBINATIONS[name].wanted(sections[name])}
        ingredients = Ingredients(of, history, validation, backbone, params, params.seed)
        models[name] = COMBINATIONS[name].make(sections[name], ingredients)
    return {name: with_coldstart(model, support) for name, model in models.items()}


def implicit(
    prepared: Prepared, params: Params, support: Support, threads: int
) -> dict[str, Server]:
    history = rated_history(prepared, FOLD)
    cells = (history.users_R.numpy(), history.items_R.numpy())
    ratings = csr_matrix(
        (history.targets_R.numpy(), cells), shape=(history.n_users, history.n_items)
    )
    sizes = {
        "implicit_als": IMPLICIT_FACTORS,
        "implicit_als_small": params.pretrain.vbpmf.factors,
    }
    servers = {}
    for name, factors in sizes.items():
        model = AlternatingLeastSquares(factors=factors, random_state=0, num_threads=threads)
        model.fit(ratings, show_progress=False)
        servers[name] = with_implicit(model, rated_support(support, prepared.unit(FOLD)))
    return servers


def lenskit(python: Path, rounds: int, threads: int) -> dict[str, Latency]:
    """Measured by ``adapt_lenskit.py``; nothing where its environment is not there."""
    if not python.exists():
        return {}
    script = Path(__file__).with_name("adapt_lenskit.py")
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    limits |= {"LK_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [str(python), str(script), "--rounds", str(rounds)],
        env={**os.environ, "PYTHONPATH": str(script.parents[1] / "src"), **limits},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {name: Latency(alone, None) for name, alone in json.loads(done.stdout).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else"
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=[*BASELINES, *ALGORITHMS, *COMBINATIONS],
        default=[*BASELINES, *ALGORITHMS, *COMBINATIONS],
        help=f"of ours; {OURS} always",
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of every method")
    parser.add_argument("--lenskit", type=Path, default=LENSKIT, help="its interpreter")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with threadpool_limits(options.threads):
        params = load_params()
        prepared = prepared_ml100k(params)
        support = cold_support(prepared)
        own = ours(prepared, params, support, {OURS, *options.methods})
        peers = implicit(prepared, params, support, options.threads)
        check(own | peers, support)
        found = measure(own | peers, support.n_users, options.rounds)
    beside = lenskit(options.lenskit, options.rounds, options.threads)
    found |= beside
    peer_names = [*peers, *beside]
    ratio = {name: found[OURS].alone / found[name].alone for name in peer_names}
    if options.json:
        batched = {n: x.batched for n, x in found.items() if x.batched is not None}
        alone = {name: x.alone for name, x in found.items()}
        parts = {"microseconds": alone, "microseconds_batched": batched, "ratio": ratio}
        print(json.dumps(parts))
        return
    print(f"{'us per user':18} {'alone':>9} {'batched':>9}")
    for name, x in found.items():
        batched_us = "" if x.batched is None else f"{x.batched:9.1f}"
        compared = f"  {OURS} takes {ratio[name]:.2f}x" if name in ratio else ""
        print(f"{name:18} {x.alone:9.0f} {batched_us:9}{compared}")


if __name__ == "__main__":
    main()
