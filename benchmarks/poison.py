"""What share of turned ratings among new users the gate notices.

    python benchmarks/poison.py --method multitask --seeds 20 > artifacts/poison.json
    python benchmarks/poison.py --method multitask --order time

A champion is learnt from 80% of the users of ``data.name``, drawn anew for each seed or the first
to arrive, and shipped. The other 20% arrive, a share of their ratings turned round on the scale (5
becomes 1, 4 becomes 2), and the gate's check ``new ratings agree with what is known`` is asked, as
`coldstart gate` asks it. The share 0 is clean data of the same size.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from coldstart import layout
from coldstart.data.choices import Choices
from coldstart.data.everyone import everyone
from coldstart.data.prepared import Prepared
from coldstart.data.sources import Source, read_source
from coldstart.data.spare import spare_choices
from coldstart.data.tables import prepare_source
from coldstart.evaluation.as_served import as_it_sees, new_to, newcomers, with_all_ratings
from coldstart.evaluation.evaluation_set import evaluation_set
from coldstart.evaluation.gate import Check, Rules
from coldstart.evaluation.refresh import agreement
from coldstart.evaluation.turned import Turned, turned_share
from coldstart.params import Params, load_params
from coldstart.recipe import Learning, Recipe
from coldstart.served import Facts, Served

FOLD = 0
KNOWN = 0.8
SHARES = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1)


class Champion(NamedTuple):
    """What the gate knows of it."""

    served: Served
    known_U: Tensor
    turned: Turned


def first_users(source: Source, order: str, seed: int) -> set[str]:
    """The users who are there at first: at random, or by their first rating."""
    if order == "time":
        users = (
            source.ratings.groupby("user_id")["timestamp"].min().sort_values(kind="stable").index
        )
    else:
        users = pd.Index(sorted(source.ratings["user_id"].unique()))
        users = users[np.random.default_rng(seed).permutation(len(users))]
    return set(users[: round(KNOWN * len(users))])


def turned(source: Source, known: set[str], share: float, params: Params, seed: int) -> Source:
    """The same with a share of the ratings of users who are not known turned round."""
    ratings = source.ratings.copy()
    new = np.flatnonzero(~ratings["user_id"].isin(known))
    some = np.random.default_rng(seed).permutation(new)[: round(share * len(new))]
    values = ratings["rating"].to_numpy(copy=True)
    values[some] = sum(_scale(params)) - values[some]
    return replace(source, ratings=ratings.assign(rating=values))


def prepared_from(source: Source, params: Params) -> Prepared:
    """As the stage does."""
    return prepare_source(source, params.data, params.prepare, seed=params.seed, head=params.head)


def champion_of(prepared: Prepared, method: str, params: Params) -> Champion:
    """What its proof says of its cold users, and what is then learnt from everybody."""
    recipe, choices = Recipe.of(params, method, 0), spare_choices(prepared, FOLD)
    proof = Learning(recipe, params, prepared.history(FOLD), choices).learn()
    cold = with_all_ratings(evaluation_set(prepared, params, FOLD, "cold"), prepared)
    known = turned_share(proof, cold.episodes, cold.unit, _scale(params))
    all_of_them, data = everyone(prepared, FOLD), params.data
    made = Choices(made=choices.made)
    facts = Facts(
        data.name,
        method,
        params.head,
        data.min_rating,
        data.max_rating,
        data.like,
        unit=prepared.unit(FOLD),
    )
    items = prepared.items.sort_values("item")
    served = Served(
        Learning(recipe, params, all_of_them.history, made).learn(),
        facts,
        items["key"].tolist(),
        items["title"].tolist(),
        all_of_them.encoder,
    )
    return Champion(served, all_of_them.known_U, known)


def _scale(params: Params) -> tuple[float, float]:
    low, high = params.data.min_rating, params.data.max_rating
    assert low is not None
    assert high is not None
    return low, high


def asked(champion: Champion, source: Source, params: Params) -> Check:
    """The gate's question of the data as it is now."""
    prepared = prepared_from(source, params)
    data = newcomers(prepared, new_to(champion.known_U, prepared), params, FOLD)
    assert data is not None
    served, known = champion.served, champion.turned
    target = with_all_ratings(evaluation_set(data, params, FOLD, "cold"), data)
    seen = as_it_sees(served, target, data).episodes
    found = turned_share(served.method, seen, served.facts.unit, _scale(params), known.variance)
    rules = Rules(params.goal, params.gate, params.evaluate, params.seed)
    return agreement(found, known, rules)


def results(method: str, order: str, seeds: range, params: Params) -> list[dict[str, Any]]:
    """A row per seed and share."""
    source = read_source(layout.DATA / params.data.name, params.data.name)
    rows = []
    for seed in seeds:
        known = first_users(source, order, seed)
        ratings = source.ratings[source.ratings["user_id"].isin(known)].reset_index(drop=True)
        champion = champion_of(
            prepared_from(replace(source, ratings=ratings), params), method, params
        )
        for share in SHARES:
            check = asked(champion, turned(source, known, share, params, seed), params)
            row = {"seed": seed, "share": share, "excess": check.value, "refused": not check.passed}
            rows.append(row | {"method": method, "order": order})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Print rows as JSON, and a summary by share on stderr."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--method", default="multitask")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--order", choices=("random", "time"), default="random")
    parser.add_argument("--params", type=Path, default=layout.PARAMS)
    given = parser.parse_args()
    params = load_params(given.params)
    torch.set_num_threads(params.threads)
    rows = results(given.method, given.order, range(given.seeds), params)
    table = pd.DataFrame(rows).groupby("share")
    summary = table.agg(
        refused=("refused", "sum"), of=("refused", "size"), excess=("excess", "mean")
    )
    print(summary.to_string(), file=sys.stderr)
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
