"""Ratings of validation users that no evaluation reads: what combinations are fitted on.

An evaluated user gives ``query_size`` ratings to be judged by and a pool to adapt to; an active one
has many more. Weights fitted on those see several times the data, and the validation score of the
result stays one on ratings that it has not seen.
"""

from __future__ import annotations

import torch

from coldstart.data.episodes import Episodes
from coldstart.data.prepared import Prepared


def spare_episodes(prepared: Prepared, fold: int) -> Episodes:
    """Validation users with their support pool, and every rating left as the query: ``[B, Q]``.

    A user with nothing left has an empty query. After the cut of a temporal split nothing is read.
    Where nobody has anything left, the evaluated query has to do.
    """
    episodes = prepared.eval_episodes(fold, "validation")
    users = episodes.users_B.tolist()
    ratings = prepared.ratings[prepared.ratings["user"].isin(users)]
    if prepared.summary["cut"] is not None:
        ratings = ratings[ratings["timestamp"] <= prepared.summary["cut"]]
    used = prepared.episodes[prepared.episodes["fold"] == fold]
    rows = ratings.merge(used[["user", "item"]], on=["user", "item"], how="left", indicator=True)
    rows = rows[rows["_merge"] == "left_only"].sort_values(["user", "item"])
    if rows.empty:
        return episodes
    user_R = torch.from_numpy(rows["user"].to_numpy(dtype="int64", copy=True))
    row_R = torch.searchsorted(episodes.users_B, user_R)
    column_R = torch.from_numpy(rows.groupby("user").cumcount().to_numpy(dtype="int64", copy=True))
    shape = (len(users), int(column_R.max()) + 1)
    items_BQ = torch.zeros(shape, dtype=torch.int64)
    targets_BQ = torch.zeros(shape)
    mask_BQ = torch.zeros(shape, dtype=torch.bool)
    items_BQ[row_R, column_R] = torch.from_numpy(rows["item"].to_numpy(dtype="int64", copy=True))
    targets = rows["target"].to_numpy(dtype="float32", copy=True)
    targets_BQ[row_R, column_R] = torch.from_numpy(targets)
    mask_BQ[row_R, column_R] = True
    return episodes._replace(items_BQ=items_BQ, targets_BQ=targets_BQ, mask_BQ=mask_BQ)
