"""Adapt to one user's five ratings and rank all of ml-100k, beside ALS of `implicit`.

Both are fitted on the same historical users, then serve the same cold users one at a time on the
same number of threads: adapt, score every item, return the ten best that are not in the support.
What each takes as input (tensors, a CSR row) is built beforehand. Rounds alternate in one process;
the median over all users and rounds is reported. `implicit` runs twice: with its default number of
factors (``implicit_als``, which the ratio is against) and, to see what the number of factors does,
with as few as ours (``implicit_als_small``).

Speed does not depend on meta-training, so the meta-learner is used as it starts. Needs
``data/ml-100k`` (``coldstart fetch``) and the extra ``bench``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from coldstart.algorithms.bayes_head import BayesHead, BayesHeadParams
from coldstart.baselines import BASELINES, check_params
from coldstart.data.episodes import Support
from coldstart.data.prepared import Prepared
from coldstart.data.sources import read_source
from coldstart.data.tables import prepare_source
from coldstart.models.backbones import fit_backbone
from coldstart.models.heads import HEADS
from coldstart.models.recommender import Recommender
from coldstart.params import Params, load_params, parse_section

SHOTS, TOP, FOLD = 5, 10, 0
IMPLICIT_FACTORS = 100  # the default of implicit 0.7.3

Serve = Callable[[int], np.ndarray]  # row of a cold user -> ten items, best first


def prepared_ml100k(params: Params) -> Prepared:
    source = read_source(Path("data/ml-100k"), "ml-100k")
    return prepare_source(source, params.data, params.prepare, seed=params.seed, head=params.head)


def with_coldstart(model: Recommender, support: Support) -> Serve:
    users = [support.rows(slice(row, row + 1)) for row in range(support.n_users)]
    excluded = [np.append(user.items_BS[0].numpy(), 0) for user in users]

    def serve(row: int) -> np.ndarray:
        score_N = model.score_catalogue(model.adapt(users[row])).mean[0]
        score_N.numpy()[excluded[row]] = -np.inf
        return score_N.topk(TOP).indices.numpy()

    return serve


def with_implicit(model: AlternatingLeastSquares, support: Support) -> Serve:
    shape = (1, model.item_factors.shape[0])
    users = [
        csr_matrix((targets, items, np.array([0, SHOTS], dtype=np.int32)), shape=shape)
        for targets, items in zip(
            support.targets_BS.numpy(), support.items_BS.int().numpy(), strict=True
        )
    ]

    def serve(row: int) -> np.ndarray:
        ids: np.ndarray = model.recommend(0, users[row], N=TOP, recalculate_user=True)[0]
        return ids

    return serve


def methods(params: Params, threads: int) -> tuple[dict[str, Serve], Support]:
    """Everything fitted, and the support of the cold users."""
    prepared = prepared_ml100k(params)
    history = prepared.history(FOLD)
    validation = prepared.eval_episodes(FOLD, "validation")
    support = prepared.eval_episodes(FOLD, "cold").support.first(SHOTS)
    backbone, factors = (
        fit_backbone(kind, history, validation, params.pretrain, params.seed)
        for kind in (params.pretrain.backbone, "mf")
    )
    section = parse_section(BayesHeadParams, params.algorithms["bayes_head"], "bayes_head")
    head = BayesHead.create(backbone, section, HEADS[params.head], params.seed)
    ridge = BASELINES["ridge"].fit(
        history, factors, validation, check_params(params)["ridge"], params.seed
    )
    ratings = csr_matrix(
        (history.targets_R.numpy(), (history.users_R.numpy(), history.items_R.numpy())),
        shape=(history.n_users, history.n_items),
    )

    def peer(factors: int) -> Serve:
        model = AlternatingLeastSquares(factors=factors, random_state=0, num_threads=threads)
        model.fit(ratings, show_progress=False)
        return with_implicit(model, support)

    return {
        "bayes_head": with_coldstart(head, support),
        "ridge": with_coldstart(ridge, support),
        "implicit_als": peer(IMPLICIT_FACTORS),
        "implicit_als_small": peer(params.pretrain.mf.factors),
    }, support


def measure(serves: dict[str, Serve], n_users: int, rounds: int) -> dict[str, float]:
    """Median microseconds per user."""
    seconds: dict[str, list[float]] = {name: [] for name in serves}
    for serve in serves.values():
        for row in range(n_users):
            serve(row)
    for _ in range(rounds):
        for name, serve in serves.items():
            for row in range(n_users):
                start = time.perf_counter()
                serve(row)
                seconds[name].append(time.perf_counter() - start)
    return {name: 1e6 * statistics.median(values) for name, values in seconds.items()}


def check(serves: dict[str, Serve], support: Support) -> None:
    for name, serve in serves.items():
        ranking = serve(0)
        assert len(set(ranking.tolist())) == TOP, name
        assert not set(ranking.tolist()) & set(support.items_BS[0].tolist()), name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else"
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="threads of every method")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with threadpool_limits(options.threads):
        serves, support = methods(load_params(), options.threads)
        check(serves, support)
        speed = measure(serves, support.n_users, options.rounds)
    peers = {"implicit_als": speed["bayes_head"] / speed["implicit_als"]}
    if options.json:
        print(json.dumps({"microseconds": speed, "ratio": peers}))
        return
    for name, x in speed.items():
        print(
            f"{name:18} {x:7.0f} us" + (f"  ours takes {peers[name]:.2f}x" if name in peers else "")
        )


if __name__ == "__main__":
    main()
