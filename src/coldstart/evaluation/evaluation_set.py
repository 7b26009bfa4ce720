"""Whom methods are judged on, and by what: the users of a fold and role with their likes.

Legend: B users, S support, Q query, N items with the unknown one, L likes, X items left out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from coldstart.data.episodes import Episodes
from coldstart.data.prepared import Prepared
from coldstart.data.spare import spare_episodes
from coldstart.data.units import Unit, tensor_of
from coldstart.errors import EvaluationError
from coldstart.evaluation import formulas
from coldstart.models.heads import ClickHead
from coldstart.params import Params

Role = Literal["validation", "cold"]
POPULAR = 50
"""The most rated items, of whose share in a list a metric tells."""


class Catalogue(NamedTuple):
    """What lists are described by; from the historical ratings alone."""

    share_N: Tensor  # share of the historical ratings, add-one smoothed
    third_N: Tensor  # int64, 0, 1, 2: the items with the first, second, last third of all likes
    popular_N: Tensor  # bool, whether among the POPULAR most rated
    cold_N: Tensor  # bool, whether without any historical rating


@dataclass(frozen=True)
class EvaluationSet:
    """The users of one fold and role, and what their results are computed from."""

    fold: int
    role: Role
    episodes: Episodes
    ratings_BQ: Tensor  # float64, rating points of the query, also where targets are likes
    keys: tuple[str, ...]  # key of each user in the source
    tie_seeds_B: Tensor  # int64; from the key, so that a user's ties never change
    ranked_B: Tensor  # bool, on whom the metrics of the whole catalogue are computed
    likes_BL: Tensor  # int64, all that the user likes, support included; 0 where padded, below 0
    # where no list can hold it
    left_out_BX: Tensor  # int64, items that no list may hold, 0 where padded: see `evaluation_set`
    catalogue: Catalogue
    scale: tuple[float, float]  # lowest and highest rating that there can be
    like: float
    head: str
    unit: Unit  # of the targets

    @property
    def n_users(self) -> int:
        """Number of users, ``B``."""
        return self.episodes.n_users

    @property
    def liked(self) -> Tensor:
        """Which query items the users like: bool ``[B, Q]``."""
        return (self.ratings_BQ >= self.like) & self.episodes.mask_BQ

    @property
    def gains(self) -> Tensor:
        """What each query item is worth to NDCG: ``[B, Q]``."""
        return formulas.gains(self.ratings_BQ, *self.scale)

    @property
    def truth(self) -> Tensor:
        """What predictions are compared with, rating points or 0/1 likes: ``[B, Q]``."""
        return self.ratings_BQ if self.head == "rating" else self.episodes.targets_BQ

    def predictions(self, mean_BQ: Tensor) -> Tensor:
        """What a method predicts, in the unit of ``truth`` and within its range."""
        if self.head != "rating":
            return mean_BQ.clamp(ClickHead.margin, 1 - ClickHead.margin)
        return self.unit.outside(mean_BQ).clamp(*self.scale)

    def in_unit(self, unit: Unit) -> EvaluationSet:
        """The same ratings, as a method has to see them that measures them in another unit."""
        support = self.episodes.support
        support = support._replace(targets_BS=unit.inside(self.unit.outside(support.targets_BS)))
        targets_BQ = unit.inside(self.unit.outside(self.episodes.targets_BQ))
        episodes = self.episodes._replace(support=support, targets_BQ=targets_BQ)
        return replace(self, episodes=episodes, unit=unit)

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
            likes_BL=self.likes_BL[index],
            left_out_BX=self.left_out_BX[index],
        )


def evaluation_set(prepared: Prepared, params: Params, fold: int, role: Role) -> EvaluationSet:
    """Gather the episodes of a role.

    What is fitted on validation users reads spare ratings of theirs. Lists by which methods are
    chosen hold none of those items: they are neither right nor wrong.

    Raises:
        EvaluationError: nobody plays the role with enough ratings.
    """
    episodes = prepared.eval_episodes(fold, role)
    if episodes.n_users == 0:
        raise EvaluationError(
            f"fold {fold}: no {role} user has prepare.min_ratings={params.prepare.min_ratings} "
            "ratings; lower it, or prepare.query_size and prepare.shots with it"
        )
    scale = params.data.scale
    keys = tuple(prepared.users["key"].astype("str").to_numpy()[episodes.users_B.numpy()])
    seeds_B = torch.tensor([_seed_of(key, params.seed) for key in keys])
    return EvaluationSet(
        fold=fold,
        role=role,
        episodes=episodes,
        ratings_BQ=_query_ratings(prepared, fold, episodes),
        keys=keys,
        tie_seeds_B=seeds_B,
        ranked_B=seeds_B <= seeds_B.sort()[0][: params.evaluate.catalogue_users][-1],
        likes_BL=_likes(prepared, episodes, scale.like, role),
        left_out_BX=_left_out(prepared, fold, episodes, role),
        catalogue=catalogue_of(prepared, fold, scale.like),
        scale=(scale.low, scale.high),
        like=scale.like,
        head=params.head,
        unit=prepared.unit(fold),
    )


def _query_ratings(prepared: Prepared, fold: int, episodes: Episodes) -> Tensor:
    table = prepared.episodes
    table = table[(table["fold"] == fold) & (table["part"] == "query")]
    table = table[table["user"].isin(episodes.users_B.tolist())]
    table = table.sort_values(["user", "position"])
    return tensor_of(table["rating"].to_numpy()).reshape(episodes.items_BQ.shape)


def _seed_of(key: str, seed: int) -> int:
    digest = hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=8, person=b"ties")
    return int.from_bytes(digest.digest(), "big", signed=True)


def catalogue_of(prepared: Prepared, fold: int, like: float) -> Catalogue:
    """Popularity of items among the historical users of a fold."""
    rows = prepared.history_rows(fold)
    items = rows["item"].to_numpy()
    count_N = np.bincount(items, minlength=prepared.n_items)
    liked_N = np.bincount(items[rows["rating"].to_numpy() >= like], minlength=prepared.n_items)
    order = np.lexsort((np.arange(prepared.n_items), -count_N))
    before = liked_N[order].cumsum() - liked_N[order]
    third_N = np.empty(prepared.n_items, dtype=np.int64)
    third_N[order] = np.minimum(2, 3 * before // max(liked_N.sum(), 1))
    third_N[count_N == 0] = 2
    popular_N = np.zeros(prepared.n_items, dtype=bool)
    popular_N[order[:POPULAR]] = True
    return Catalogue(
        share_N=torch.from_numpy((count_N + 1.0) / (len(items) + prepared.n_items)),
        third_N=torch.from_numpy(third_N),
        popular_N=torch.from_numpy(popular_N & (count_N > 0)),
        cold_N=prepared.cold_items(fold),
    )


def _likes(prepared: Prepared, episodes: Episodes, like: float, role: Role) -> Tensor:
    """All likes of each user: ``[B, L]``. Of validation users none after a temporal cut."""
    rows = prepared.ratings[prepared.ratings["rating"] >= like]
    if role == "validation" and prepared.summary["cut"] is not None:
        rows = rows[rows["timestamp"] <= prepared.summary["cut"]]
    return padded_items(rows, episodes.users_B)


def _left_out(prepared: Prepared, fold: int, episodes: Episodes, role: Role) -> Tensor:
    if role == "cold":
        return torch.zeros((episodes.n_users, 0), dtype=torch.int64)
    spare = spare_episodes(prepared, fold)
    asked_B = torch.isin(episodes.users_B, spare.users_B)
    if torch.equal(spare.items_BQ, episodes.items_BQ[asked_B]):
        # nobody has ratings to spare: the query does both
        return torch.zeros((episodes.n_users, 0), dtype=torch.int64)
    left_out_BX = torch.zeros((episodes.n_users, spare.items_BQ.shape[1]), dtype=torch.int64)
    left_out_BX[asked_B] = spare.items_BQ
    return left_out_BX


def padded_items(rows: pd.DataFrame, users_B: Tensor) -> Tensor:
    """The items of ``rows`` by user: int64 ``[B, L]``, 0 where padded; ``users_B`` ascends."""
    rows = rows[rows["user"].isin(users_B.tolist())].sort_values(["user", "item"])
    row_R = np.searchsorted(users_B.numpy(), rows["user"].to_numpy())
    column_R = rows.groupby("user").cumcount().to_numpy(dtype="int64")
    items_BL = np.zeros((len(users_B), int(column_R.max(initial=-1)) + 1), dtype=np.int64)
    items_BL[row_R, column_R] = rows["item"].to_numpy()
    return torch.from_numpy(items_BL)
