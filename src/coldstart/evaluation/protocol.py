"""Evaluate one fitted method on one set of users: nested supports against the same query.

Shapes: B users, S support, Q query, N items with the unknown one, T the top of a ranking.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from coldstart.data.episodes import Episodes, Support
from coldstart.data.prepared import Prepared
from coldstart.errors import EvaluationError
from coldstart.evaluation import metrics
from coldstart.models.heads import ClickHead
from coldstart.models.recommender import Prediction, Recommender, State
from coldstart.params import Params

Role = Literal["validation", "cold"]
NDCG_TOP = 5
LEVELS = {"covered@50": 0.5, "covered@80": 0.8, "covered@95": 0.95}
"""Nominal levels of the predictive intervals whose coverage is measured."""
CHUNK = 256
"""Users adapted to at once; changes no result."""
CELLS = 1 << 17
"""Scores of the catalogue held at once: users times items. A network's activations are some hundred
times as large, and faster while they fit into the cache; changes no result."""


@dataclass(frozen=True)
class EvaluationSet:
    """The users of one fold and role, and what their results are computed from."""

    fold: int
    role: Role
    episodes: Episodes
    ratings_BQ: Tensor  # rating points of the query, also where targets are likes
    keys: tuple[str, ...]  # key of each user in the source
    tie_seeds_B: Tensor  # int64; from the key, so that a user's ties never change
    ranked_B: Tensor  # bool, on whom the metrics of the whole catalogue are computed
    share_N: Tensor  # share of the historical ratings, add-one smoothed
    low: float  # lowest and highest possible target
    high: float
    like: float
    head: str

    @property
    def n_users(self) -> int:
        """Number of users, ``B``."""
        return self.episodes.n_users

    def rows(self, index: slice | Tensor) -> EvaluationSet:
        """The same for a part of the users."""
        chosen = torch.arange(self.n_users)[index].tolist()
        return replace(
            self,
            episodes=self.episodes.rows(index),
            ratings_BQ=self.ratings_BQ[index],
            keys=tuple(self.keys[i] for i in chosen),
            tie_seeds_B=self.tie_seeds_B[index],
            ranked_B=self.ranked_B[index],
        )


class Evaluation(NamedTuple):
    """Results of one method on one set of users."""

    users: pd.DataFrame  # user, key, k and a column per metric
    coverage: dict[int, float]  # shots -> share of the catalogue in anybody's top 10


def evaluation_set(prepared: Prepared, params: Params, fold: int, role: Role) -> EvaluationSet:
    """Gather the episodes of a role.

    Raises:
        EvaluationError: nobody plays the role with enough ratings.
    """
    episodes = prepared.eval_episodes(fold, role)
    if episodes.n_users == 0:
        raise EvaluationError(
            f"fold {fold}: no {role} user has prepare.min_ratings={params.prepare.min_ratings} "
            "ratings; lower it, or prepare.query_size and prepare.shots with it"
        )
    ratings = params.head == "rating"
    keys = tuple(prepared.users["key"].astype("str").to_numpy()[episodes.users_B.numpy()])
    items_R = prepared.history(fold).items_R
    seeds_B = torch.tensor([_seed_of(key, params.seed) for key in keys])
    counts_N = torch.bincount(items_R, minlength=prepared.n_items).double()
    return EvaluationSet(
        fold=fold,
        role=role,
        episodes=episodes,
        ratings_BQ=_query_ratings(prepared, fold, episodes),
        keys=keys,
        tie_seeds_B=seeds_B,
        ranked_B=seeds_B <= seeds_B.sort()[0][: params.evaluate.catalogue_users][-1],
        share_N=(counts_N + 1) / (len(items_R) + prepared.n_items),
        low=params.data.min_rating if ratings else ClickHead.margin,
        high=params.data.max_rating if ratings else 1 - ClickHead.margin,
        like=params.data.like,
        head=params.head,
    )


def _query_ratings(prepared: Prepared, fold: int, episodes: Episodes) -> Tensor:
    table = prepared.episodes
    table = table[(table["fold"] == fold) & (table["part"] == "query")]
    table = table[table["user"].isin(episodes.users_B.tolist())]
    table = table.sort_values(["user", "position"])
    ratings = table["rating"].to_numpy(dtype="float32", copy=True)
    return torch.from_numpy(ratings.reshape(episodes.items_BQ.shape))


def _seed_of(key: str, seed: int) -> int:
    digest = hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=8, person=b"ties")
    return int.from_bytes(digest.digest(), "big", signed=True)


def tie_breaks(seeds_B: Tensor, items: Tensor) -> Tensor:
    """Independent uniform integers in ``[0, 2^31)`` per user and item (splitmix64).

    ``items`` is ``[N]`` or ``[B, Q]``; the same pair always gives the same number.
    """
    x = seeds_B[:, None] + (items + 1) * -0x61C8864680B583EB  # the golden ratio, wrapping
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        x = (x ^ ((x >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return (x >> 33) & 0x7FFFFFFF


@torch.no_grad()
def evaluate(
    method: Recommender, target: EvaluationSet, shots: Iterable[int], *, catalogue: bool
) -> Evaluation:
    """Per-user metrics of ``method`` for each support size.

    ``catalogue`` adds the metrics of ranking everything but the support, for ``ranked_B``.

    Raises:
        EvaluationError: the method predicts a NaN or an infinity.
    """
    frames: list[pd.DataFrame] = []
    shown = {k: torch.zeros(method.n_items, dtype=torch.bool) for k in shots}
    for part in _chunks(target):
        for k in shown:
            support = part.episodes.support.first(k)
            state = method.adapt(support)
            values = _query_metrics(method.score(state, part.episodes.items_BQ), part)
            if catalogue:
                rows = part.ranked_B.nonzero()[:, 0]
                own = {name: tensor[rows] for name, tensor in state.items()}
                top_BT = recommend(method, own, support.rows(rows), part.tie_seeds_B[rows])
                shown[k][top_BT[top_BT >= 0]] = True
                for name, found_B in _catalogue_metrics(top_BT, part.rows(rows)).items():
                    values[name] = torch.full((part.n_users,), torch.nan).double()
                    values[name][rows] = found_B
            frames.append(_frame(part, k, values))
    coverage = {k: float(seen.sum()) / max(method.n_items - 1, 1) for k, seen in shown.items()}
    users = pd.concat(frames, ignore_index=True).sort_values(["user", "k"], ignore_index=True)
    return Evaluation(users, coverage if catalogue else {})


def recommend(method: Recommender, state: State, support: Support, tie_seeds_B: Tensor) -> Tensor:
    """The top of the whole catalogue but the support: int64 ``[B, T]``."""
    items_N = torch.arange(method.n_items)
    rows = max(1, CELLS // method.n_items)
    tops = []
    for start in range(0, support.n_users, rows):
        part = slice(start, start + rows)
        scores_BN = method.rank_catalogue({name: t[part] for name, t in state.items()})
        ties_BN = tie_breaks(tie_seeds_B[part], items_N)
        tops.append(metrics.top_items(scores_BN, support.items_BS[part], ties_BN))
    return torch.cat(tops) if tops else torch.empty((0, metrics.TOP), dtype=torch.int64)


def _chunks(target: EvaluationSet) -> Iterator[EvaluationSet]:
    for start in range(0, target.n_users, CHUNK):
        yield target.rows(slice(start, start + CHUNK))


def _query_metrics(predicted: Prediction, part: EvaluationSet) -> dict[str, Tensor]:
    items_BQ, targets_BQ, mask_BQ = part.episodes[1:4]
    mean_BQ = predicted.mean
    ties_BQ = tie_breaks(part.tie_seeds_B, items_BQ)
    values = {
        "ndcg@5": metrics.graded_ndcg(mean_BQ, part.ratings_BQ, mask_BQ, ties_BQ, NDCG_TOP),
        "auc": metrics.auc(mean_BQ, part.ratings_BQ >= part.like, mask_BQ),
    }
    if part.head == "ranking":
        return values
    clipped_BQ = mean_BQ.clamp(part.low, part.high)
    if part.head == "click":
        return {"log_loss": metrics.log_loss(clipped_BQ, targets_BQ, mask_BQ), **values}
    values["mse"] = metrics.squared_error(clipped_BQ, targets_BQ, mask_BQ)
    values["mae"] = metrics.absolute_error(clipped_BQ, targets_BQ, mask_BQ)
    if predicted.variance is not None:
        normal = (mean_BQ, predicted.variance, targets_BQ, mask_BQ)
        values["nll"] = metrics.gaussian_nll(*normal)
        values |= {name: metrics.covered(*normal, level) for name, level in LEVELS.items()}
    return values


def _catalogue_metrics(top_BT: Tensor, part: EvaluationSet) -> dict[str, Tensor]:
    liked_BQ = (part.ratings_BQ >= part.like) & part.episodes.mask_BQ
    hits_BT = metrics.hits(top_BT, part.episodes.items_BQ, liked_BQ)
    n_liked_B = liked_BQ.sum(1)
    return {
        "recall@10": metrics.recall(hits_BT, n_liked_B),
        "ndcg@10": metrics.binary_ndcg(hits_BT, n_liked_B),
        "mrr@10": metrics.reciprocal_rank(hits_BT, n_liked_B),
        "novelty": metrics.novelty(top_BT, part.share_N),
    }


def _frame(part: EvaluationSet, k: int, values: dict[str, Tensor]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user": part.episodes.users_B.numpy(),
            "key": list(part.keys),
            "k": k,
            **{name: value.numpy() for name, value in values.items()},
        }
    )
