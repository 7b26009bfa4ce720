"""LensKit's part of ``adapt.py``, run by its environment: JSON of microseconds per user, alone.

Scorers have their defaults and are called as their pipelines call them, but for the pipeline itself
and the selection of candidates, which are made beforehand.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
import pandas as pd
import torch
from lenskit.als import BiasedMFScorer
from lenskit.data import ItemList, RecQuery, from_interactions_df
from lenskit.knn import EASEScorer, ItemKNNScorer
from lenskit.training import TrainingOptions

from coldstart.data.episodes import History, Support
from coldstart.params import load_params
from peer_libraries.adapter import rated_history, rated_support
from serving import FOLD, TOP, Items, Server, check, cold_support, measure, prepared_ml100k

SCORERS = {
    "lenskit_biasedmf": BiasedMFScorer,
    "lenskit_itemknn": ItemKNNScorer,
    "lenskit_ease": EASEScorer,
}


def with_lenskit(scorer: Any, history: History, support: Support) -> Server:
    seen_N = np.bincount(history.items_R.numpy(), minlength=history.n_items) > 0
    queries, candidates = [], []
    for items_S, targets_S in zip(
        support.items_BS.numpy(), support.targets_BS.numpy(), strict=True
    ):
        kept_S = seen_N[items_S]  # ItemKNN panics on an item that it was not trained on
        known = ItemList(item_ids=items_S[kept_S], rating=targets_S[kept_S])
        queries.append(RecQuery(user_items=known))
        asked_N = seen_N.copy()
        asked_N[items_S] = False
        candidates.append(ItemList(item_ids=np.flatnonzero(asked_N)))

    def one(row: int) -> Items:
        items: Items = scorer(queries[row], candidates[row]).top_n(TOP).ids()
        return items

    return Server(one)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    params = load_params()
    prepared = prepared_ml100k(params)
    history = rated_history(prepared, FOLD)
    support = rated_support(cold_support(prepared), prepared.unit(FOLD))
    columns = (history.users_R, history.items_R, history.targets_R)
    names = ("user_id", "item_id", "rating")
    data = from_interactions_df(
        pd.DataFrame({n: c.numpy() for n, c in zip(names, columns, strict=True)})
    )
    servers = {}
    for name, kind in SCORERS.items():
        scorer = kind()
        scorer.train(data, TrainingOptions(rng=0))
        servers[name] = with_lenskit(scorer, history, support)
    check(servers, support)
    found = measure(servers, support.n_users, options.rounds)
    print(json.dumps({name: latency.alone for name, latency in found.items()}))


if __name__ == "__main__":
    main()
