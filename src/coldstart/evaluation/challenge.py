"""A method from an earlier run on today's cold users, and how long a method takes for one user."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import pandas as pd
import torch
from torch import Tensor

from coldstart.data.features import UserEncoder
from coldstart.data.prepared import Prepared
from coldstart.evaluation.evaluation_set import Catalogue, evaluation_set
from coldstart.evaluation.formulas import top_items
from coldstart.evaluation.protocol import evaluate
from coldstart.models.recommender import Recommender
from coldstart.models.server import alone
from coldstart.params import Params
from coldstart.schema import UNKNOWN_ITEM

_WARM_UP, _REPEATS = 5, 30


def evaluate_bundle_on(
    prepared: Prepared,
    method: Recommender,
    item_keys: Sequence[str],
    encoder: UserEncoder,
    params: Params,
    fold: int,
) -> pd.DataFrame:
    """Per-user results of a method that was fitted on other data.

    Its catalogue is matched by key: ``item_keys`` are its ``N`` items in row order (row 0 the
    unknown one); what it never saw is scored as the unknown item. Users are encoded by the
    ``encoder`` that it was fitted with; attributes that the new data lacks count as unknown.
    """
    target = evaluation_set(prepared, params, fold, "cold")
    rows_N = _rows_of(prepared, item_keys)
    known_N = rows_N > 0
    known_N[UNKNOWN_ITEM] = True  # padding stays padding; other likes are right but out of reach
    users = prepared.users.set_index("user").loc[target.episodes.users_B.numpy()]
    names = [column.name for column in encoder.columns]
    features_BF = torch.from_numpy(
        encoder.encode_table(users.reindex(columns=names, fill_value=""))
    )
    support = target.episodes.support
    support = support._replace(items_BS=rows_N[support.items_BS], users_BF=features_BF)
    items_BQ = rows_N[target.episodes.items_BQ]
    episodes = target.episodes._replace(support=support, items_BQ=items_BQ)
    matched = replace(
        target,
        episodes=episodes,
        likes_BL=torch.where(
            known_N[target.likes_BL], rows_N[target.likes_BL], -target.likes_BL - 1
        ),
        catalogue=_matched(target.catalogue, rows_N, method.n_items),
    )
    return evaluate(method, matched, params.prepare.shots, catalogue=True).users


def _matched(catalogue: Catalogue, rows_N: Tensor, n_items: int) -> Catalogue:
    """The same of the method's rows; of items that today's data lacks, as of a rare one."""
    share = catalogue.share_N.new_full((n_items,), float(catalogue.share_N.min()))
    third, popular = torch.full((n_items,), 2), torch.zeros(n_items, dtype=torch.bool)
    for whole, part in zip((share, third, popular), catalogue, strict=True):
        whole[rows_N] = part
    return Catalogue(share, third, popular)


def _rows_of(prepared: Prepared, item_keys: Sequence[str]) -> Tensor:
    """The method's row of each of today's items."""
    rows = {key: row for row, key in enumerate(item_keys) if row != UNKNOWN_ITEM}
    keys = prepared.items["key"].astype("str").tolist()
    keys[UNKNOWN_ITEM] = ""
    return torch.tensor([rows.get(key, UNKNOWN_ITEM) if key else UNKNOWN_ITEM for key in keys])


def measure_adapt_ms(method: Recommender, prepared: Prepared, params: Params) -> float:
    """Median milliseconds to adapt to one user's ratings, as many as there are shots at most, and
    rank the catalogue.

    A measurement, so never part of a stage's output.
    """
    fold = params.prepare.folds[0]
    episodes = prepared.eval_episodes(fold, "cold")
    server = method.serve()
    ties = torch.zeros((1, method.n_items), dtype=torch.int64)
    seconds = []
    for turn in range(_WARM_UP + _REPEATS):
        row = turn % episodes.n_users
        support = episodes.support.rows(slice(row, row + 1)).first(params.prepare.shots[-1])
        user = alone(support)
        start = time.perf_counter()
        scores_N = server.rank(server.adapt(*user))
        top_items(torch.from_numpy(scores_N).unsqueeze(0), support.items_BS, ties)
        seconds.append(time.perf_counter() - start)
    return 1000 * median(seconds[_WARM_UP:])
