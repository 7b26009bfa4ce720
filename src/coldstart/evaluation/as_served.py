"""A version as it is served, on today's users; and how long it takes for one of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import pandas as pd
import torch
from torch import Tensor

from coldstart.data.episodes import Support
from coldstart.data.everyone import marks
from coldstart.data.prepared import Prepared
from coldstart.data.spare import beyond_support
from coldstart.data.splits import evaluation_episodes, rating_order
from coldstart.evaluation.evaluation_set import Catalogue, EvaluationSet
from coldstart.evaluation.formulas import top_items
from coldstart.evaluation.protocol import evaluate
from coldstart.models.recommender import Recommender
from coldstart.models.server import alone
from coldstart.params import Params
from coldstart.schema import SPLIT, UNKNOWN_ITEM
from coldstart.served import Served

_WARM_UP, _REPEATS = 5, 30


def evaluate_served(
    served: Served, target: EvaluationSet, prepared: Prepared, params: Params
) -> pd.DataFrame:
    """Per-user results of a version on users of today's data; see :func:`as_it_sees`."""
    seen = as_it_sees(served, target, prepared)
    return evaluate(served.method, seen, params.prepare.shots, catalogue=True).users


def as_it_sees(served: Served, target: EvaluationSet, prepared: Prepared) -> EvaluationSet:
    """The users of ``target`` with the rows and features that a version has for them.

    Its catalogue is matched by key; what it never saw is scored as the unknown item. Users are
    encoded by its own encoder; attributes that the new data lacks count as unknown. Ratings are in
    the unit of what it was fitted on.
    """
    target = target.in_unit(served.facts.unit)
    rows_N = _rows_of(prepared, served.keys)
    known_N = rows_N > 0
    known_N[UNKNOWN_ITEM] = True  # padding stays padding; other likes are right but out of reach
    attributes = prepared.attributes.loc[target.episodes.users_B.numpy()]
    names = [column.name for column in served.encoder.columns]
    features_BF = torch.from_numpy(
        served.encoder.encode_table(attributes.reindex(columns=names, fill_value=""))
    )
    support = target.episodes.support
    support = support._replace(items_BS=rows_N[support.items_BS], users_BF=features_BF)
    items_BQ = rows_N[target.episodes.items_BQ]
    likes_BL = target.likes_BL
    return replace(
        target,
        episodes=target.episodes._replace(support=support, items_BQ=items_BQ),
        likes_BL=torch.where(known_N[likes_BL], rows_N[likes_BL], -likes_BL - 1),
        catalogue=_matched(target.catalogue, rows_N, served.method.n_items),
    )


def new_to(known_U: Tensor, prepared: Prepared) -> Tensor:
    """Which users of today's data a version was not learnt from: bool ``[U]``.

    ``known_U`` are the marks that it keeps, see :func:`coldstart.data.everyone.marks`.
    """
    return ~torch.isin(marks(prepared.users["key"].astype("str").tolist()), known_U)


def newcomers(prepared: Prepared, new_U: Tensor, params: Params, fold: int) -> Prepared | None:
    """The same data with all these users as the cold ones of ``fold``, whatever role they play.

    None: none of them has enough ratings.
    """
    split = pd.DataFrame({"fold": fold, "user": range(prepared.n_users), "role": "historical"})
    split.loc[new_U.numpy(), "role"] = "cold"
    split = split.astype(SPLIT)
    users, items = prepared.users["key"].astype("str"), prepared.items["key"].astype("str")
    order_R = rating_order(prepared.ratings, users.tolist(), items.tolist(), params.seed)
    episodes = evaluation_episodes(prepared.ratings, order_R, split, None, params.prepare)
    return None if episodes.empty else replace(prepared, split=split, episodes=episodes)


def with_all_ratings(target: EvaluationSet, prepared: Prepared) -> EvaluationSet:
    """The same users judged by all but their support."""
    episodes = beyond_support(prepared, target.fold, target.episodes)
    kept_B = torch.isin(target.episodes.users_B, episodes.users_B)
    return replace(target.rows(kept_B), episodes=episodes)


def _matched(catalogue: Catalogue, rows_N: Tensor, n_items: int) -> Catalogue:
    """The same of the method's rows; of items that today's data lacks, as of a rare one."""
    share = catalogue.share_N.new_full((n_items,), float(catalogue.share_N.min()))
    third, popular = torch.full((n_items,), 2), torch.zeros(n_items, dtype=torch.bool)
    matched = Catalogue(share, third, popular, cold_N=torch.zeros(n_items, dtype=torch.bool))
    for whole, part in zip(matched, catalogue, strict=True):
        whole[rows_N] = part
    return matched


def _rows_of(prepared: Prepared, item_keys: Sequence[str]) -> Tensor:
    """The method's row of each of today's items."""
    rows = {key: row for row, key in enumerate(item_keys) if row != UNKNOWN_ITEM}
    keys = prepared.items["key"].astype("str").tolist()
    keys[UNKNOWN_ITEM] = ""
    return torch.tensor([rows.get(key, UNKNOWN_ITEM) if key else UNKNOWN_ITEM for key in keys])


def measure_adapt_ms(method: Recommender, supports: Support) -> float:
    """Median milliseconds to adapt to one of these users' ratings and rank the catalogue.

    A measurement, so never part of a stage's output.
    """
    server = method.serve()
    ties = torch.zeros((1, method.n_items), dtype=torch.int64)
    seconds = []
    for turn in range(_WARM_UP + _REPEATS):
        row = turn % supports.n_users
        support = supports.rows(slice(row, row + 1))
        user = alone(support)
        start = time.perf_counter()
        scores_N = server.rank(server.adapt(*user))
        top_items(torch.from_numpy(scores_N).unsqueeze(0), support.items_BS, ties)
        seconds.append(time.perf_counter() - start)
    return 1000 * median(seconds[_WARM_UP:])
