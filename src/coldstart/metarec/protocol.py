"""The protocol of RecBole-MetaRec: who takes part, what is known of them, what counts as found.

As published (its MovieLens-100K.md and MetaCollector.py): users with 13 to 100 ratings, 8:1:1 of
them to train, validate and test; of a test user 10 random ratings are the query, all others the
support; Precision, Recall, Hit, NDCG and MRR at 5 of the query's ranking. In click mode targets are
likes (rating >= 4), and the likes of the query are what is to be found. In rating mode targets are
ratings, and the five highest rated items of the query are: always five of ten, so that precision
equals recall, a hit is nearly certain, and random has .5.

Where we differ, on purpose: equal scores, and equal ratings on the border of the five, are ordered
at random, by the same draws for every method; 20 splits instead of one, since one has 58 test
users. A user without a like counts 0, as in RecBole.

Shapes: B users, S support, Q query, T the top of a ranking.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from coldstart.data.episodes import Episodes, Support
from coldstart.data.prepared import Prepared
from coldstart.data.sources import Source
from coldstart.evaluation import formulas

FEWEST, MOST, QUERY, TOP, SPLITS = 13, 100, 10, 5, 20
FOLD = 0
Mode = Literal["click", "rating"]  # each has the head of its name
MODES: tuple[Mode, ...] = ("click", "rating")
COLUMNS = ("P@5", "R@5", "HR@5", "nDCG@5", "MRR@5")
PUBLISHED: dict[Mode, dict[str, tuple[float, ...]]] = {  # asset/result/MovieLens-100K.md, COLUMNS
    "click": {
        "LWA": (0.5655, 0.4767, 0.9138, 0.5736, 0.6713),
        "NLBA": (0.5655, 0.4767, 0.9138, 0.5719, 0.6626),
        "MetaEmb": (0.6517, 0.5795, 0.9655, 0.7070, 0.8305),
        "MWUF": (0.6517, 0.5535, 0.9483, 0.7139, 0.8391),
    },
    "rating": {
        "MeLU": (0.5345, 0.5345, 1.0, 0.5331, 0.7359),
        "MAMO": (0.6103, 0.6103, 1.0, 0.5929, 0.7144),
        "TaNP": (0.5806, 0.5806, 1.0, 0.5994, 0.8070),
    },
}
PUBLISHED_ON = "ml-100k"


@dataclass(frozen=True)
class LegacySplit(Prepared):
    """Prepared data whose users have supports of different sizes, padded to the largest."""

    def eval_episodes(self, fold: int, role: Literal["validation", "cold"]) -> Episodes:
        """As in the pipeline, but for the padding."""
        table = self.episodes[self.episodes["user"].isin(self.role_users(fold, role))]
        users_B = torch.from_numpy(np.unique(table["user"].to_numpy(dtype="int64")))
        table = table.assign(target=self.targets(table, fold).numpy())
        items_BQ, targets_BQ, mask_BQ = _padded(table, "query", "target", users_B)
        items_BS, targets_BS, mask_BS = _padded(table, "support", "target", users_B)
        support = Support(
            items_BS, targets_BS, mask_BS, self.user_features_UF[users_B], torch.zeros_like(users_B)
        )
        return Episodes(support, items_BQ, targets_BQ, mask_BQ, users_B)

    def query_ratings(self, users_B: Tensor) -> Tensor:
        """Rating points of the query ``[B, Q]``, also where targets are likes."""
        table = self.episodes[self.episodes["user"].isin(users_B.tolist())]
        return _padded(table, "query", "rating", users_B)[1]


def _padded(
    table: pd.DataFrame, part: str, values: str, users_B: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    table = table[table["part"] == part]
    shape = (len(users_B), int(table["position"].max()) + 1)
    row = torch.searchsorted(users_B, torch.tensor(table["user"].to_numpy(dtype="int64")))
    cell = (row, torch.tensor(table["position"].to_numpy(dtype="int64")))
    items, found, mask = torch.zeros(shape).long(), torch.zeros(shape), torch.zeros(shape).bool()
    items[cell] = torch.tensor(table["item"].to_numpy(dtype="int64"))
    found[cell] = torch.tensor(table[values].to_numpy(dtype="float32"))
    mask[cell] = True
    return items, found, mask


def eligible(source: Source) -> Source:
    """Only the users with 13 to 100 ratings."""
    counts = source.ratings.groupby("user_id")["item_id"].transform("size")
    return replace(source, ratings=source.ratings[counts.between(FEWEST, MOST)])


def split(prepared: Prepared, seed: int) -> LegacySplit:
    """8:1:1 of the users; 10 random ratings of each are the query and the rest the support."""
    rng = np.random.default_rng(seed)
    n_users = prepared.n_users
    tenth = n_users // 10
    role_U = np.full(n_users, "historical", dtype=object)
    order_U = rng.permutation(n_users)
    role_U[order_U[:tenth]] = "cold"
    role_U[order_U[tenth : 2 * tenth]] = "validation"
    table = prepared.ratings.iloc[rng.permutation(len(prepared.ratings))]
    position = table.groupby("user").cumcount()
    query = position < QUERY
    episodes = table.assign(
        fold=FOLD,
        part=np.where(query, "query", "support"),
        position=position.where(query, position - QUERY),
    )
    parts = {field.name: getattr(prepared, field.name) for field in fields(Prepared)}
    roles = pd.DataFrame({"fold": FOLD, "user": np.arange(n_users), "role": role_U})
    return LegacySplit(**{**parts, "split": roles, "episodes": episodes})


def positives(ratings_BQ: Tensor, mode: Mode, like: float, ties_BQ: Tensor) -> Tensor:
    """What is to be found in the query: bool ``[B, Q]``."""
    if mode == "click":
        return ratings_BQ >= like
    best_BT = formulas.ranking_keys(ratings_BQ, ties_BQ).topk(TOP, dim=1).indices
    return torch.zeros_like(ratings_BQ, dtype=torch.bool).scatter_(1, best_BT, True)


def query_metrics(scores_BQ: Tensor, wanted_BQ: Tensor, ties_BQ: Tensor) -> dict[str, float]:
    """Means over users; a user without anything to find counts 0."""
    best_BT = formulas.ranking_keys(scores_BQ, ties_BQ).topk(TOP, dim=1).indices
    hits_BT, n_B = wanted_BQ.gather(1, best_BT), wanted_BQ.sum(1)
    values = (
        hits_BT.double().mean(1),
        formulas.recall(hits_BT, n_B),
        hits_BT.any(1).double(),
        formulas.binary_ndcg(hits_BT, n_B),
        formulas.reciprocal_rank(hits_BT, n_B),
    )
    means = [float(value_B.nan_to_num(0.0).mean()) for value_B in values]
    return dict(zip(COLUMNS, means, strict=True))
