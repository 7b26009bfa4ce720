"""Ratings of validation users that no evaluation reads: what is fitted on validation users.

An evaluated user gives ``query_size`` ratings to be judged by and a pool to adapt to; an active one
has many more. Calibrations, weights and early stopping read those: they see several times the data,
and the validation score of a method, by which methods are chosen, stays one on unseen ratings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from coldstart.data.choices import Choices
from coldstart.data.episodes import Episodes, some_rows
from coldstart.data.prepared import Prepared

MOST = 50
"""Ratings of one user: more say little about new users, and all are padded to the longest."""
MOST_USERS = 2000
"""Users who are asked, for every choice that is made in fitting: what they say costs each of them a
pass through the method, however much of the data they are, and more of them hardly change it."""


def spare_episodes(prepared: Prepared, fold: int) -> Episodes:
    """Validation users with their support pool, and ratings left over as the query: ``[B, Q]``.

    ``B`` is at most ``MOST_USERS`` and ``Q`` at most ``MOST``, of more a random choice is made, the
    same for every seed. Users with nothing left are not among them. After the cut of a temporal
    split nothing is read. Where nobody has anything left, the evaluated query has to do.
    """
    episodes = prepared.eval_episodes(fold, "validation")
    rows = _but(prepared, fold, episodes, ("support", "query"))
    if prepared.summary["cut"] is not None:
        rows = rows[rows["timestamp"] <= prepared.summary["cut"]]
    if rows.empty:
        return episodes.rows(some_rows(episodes.n_users, MOST_USERS))
    users = np.unique(rows["user"].to_numpy())
    asked = users[some_rows(len(users), MOST_USERS).numpy()]
    return _with_query(prepared, fold, episodes, rows[np.isin(rows["user"], asked)])


def spare_choices(prepared: Prepared, fold: int) -> Choices:
    """Validation users who are asked by their spare ratings, and whose other ratings are known."""
    spare = spare_episodes(prepared, fold)
    judged = prepared.eval_episodes(fold, "validation")
    row_B = torch.searchsorted(judged.users_B, spare.users_B)
    items_BX = torch.cat([judged.support.items_BS, judged.items_BQ], 1)[row_B]
    own_BQ = spare.items_BQ.masked_fill(~spare.mask_BQ, 0)
    # where nothing is spare the evaluated query has to do
    spared_BX = (items_BX.unsqueeze(-1) == own_BQ.unsqueeze(1)).any(-1)
    return Choices(spare, judged_BX=items_BX.masked_fill(spared_BX, 0))


def beyond_support(prepared: Prepared, fold: int, episodes: Episodes) -> Episodes:
    """The same users with all but their support as the query, at most ``MOST`` of each."""
    rest = _but(prepared, fold, episodes, ("support",))
    return episodes if rest.empty else _with_query(prepared, fold, episodes, rest)


def _but(prepared: Prepared, fold: int, episodes: Episodes, parts: Sequence[str]) -> pd.DataFrame:
    """All ratings of the users of ``episodes`` but those in these parts of their episodes."""
    known_U = np.zeros(prepared.n_users, dtype=bool)
    known_U[episodes.users_B.numpy()] = True
    own = prepared.ratings[known_U[prepared.ratings["user"].to_numpy()]]
    used = prepared.episodes
    used = used[(used["fold"] == fold) & used["part"].isin(parts)]
    own_R, used_R = (
        table["user"].to_numpy("int64") * prepared.n_items + table["item"].to_numpy("int64")
        for table in (own, used)
    )
    rest: pd.DataFrame = own[~np.isin(own_R, used_R)]
    return rest


def _with_query(prepared: Prepared, fold: int, episodes: Episodes, rows: pd.DataFrame) -> Episodes:
    """The supports of those who have rows, and the rows as padded queries."""
    rows = rows.sort_values(["user", "item"])
    rows = rows.iloc[np.random.default_rng(0).permutation(len(rows))]
    rows = rows[rows.groupby("user").cumcount() < MOST].sort_values(["user", "item"])
    users, row_R = np.unique(rows["user"].to_numpy(dtype="int64"), return_inverse=True)
    column_R = rows.groupby("user").cumcount().to_numpy(dtype="int64")
    shape = (len(users), int(column_R.max()) + 1)
    items_BQ, mask_BQ = np.zeros(shape, "int64"), np.zeros(shape, "bool")
    targets_BQ = np.zeros(shape, "float32")
    items_BQ[row_R, column_R] = rows["item"].to_numpy(dtype="int64")
    targets_BQ[row_R, column_R] = prepared.targets(rows, fold).numpy()
    mask_BQ[row_R, column_R] = True
    kept_B = torch.isin(episodes.users_B, torch.from_numpy(users))
    return Episodes(
        episodes.support.rows(kept_B),
        torch.from_numpy(items_BQ),
        torch.from_numpy(targets_BQ),
        torch.from_numpy(mask_BQ),
        episodes.users_B[kept_B],
    )
