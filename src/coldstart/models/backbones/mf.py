"""Backbone ``mf``: matrix factorisation by alternating ridge regressions.

A rating is ``mu + b_i + w_u0 + v_i . w_u[1:]`` plus noise. Items ``z_i = (b_i, v_i)`` and users
``w_u`` are ridge regressions around a prior mean that is linear in their side information,
``z_i ~ f_i W`` and ``w_u ~ x_u A``; both maps are refitted after every half-step. The method is
alternating least squares (Zhou et al. 2008, here with a penalty that does not grow with the number
of ratings) with the feature-based priors of Agarwal & Chen 2009 (RLFM), at their point estimate.

Legend: U users, N items, D features with the constant first, G item and F user side features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from coldstart.data.choices import Chooser
from coldstart.data.episodes import History
from coldstart.models.backbone import Backbone
from coldstart.models.foldin import posterior
from coldstart.models.sums import symmetric_sums
from coldstart.models.user_prior import unfitted
from coldstart.params import MFParams, PretrainParams
from coldstart.progress import progress

Array = NDArray[np.float64]

START = 0.1
"""Standard deviation of the items' factors before the first sweep."""


@dataclass(frozen=True)
class Ratings:
    """Rating matrix with one row per entity that is solved for, one column per fixed entity."""

    values: sparse.csr_array | sparse.csc_array  # targets
    pattern: sparse.csr_array | sparse.csc_array  # ones where there is a target

    @classmethod
    def of(
        cls,
        rows_R: NDArray[np.int64],
        columns_R: NDArray[np.int64],
        y_R: Array,
        shape: tuple[int, int],
    ) -> Ratings:
        """From coordinates."""
        values = sparse.csr_array((y_R, (rows_R, columns_R)), shape=shape)
        ones = sparse.csr_array((np.ones_like(y_R), (rows_R, columns_R)), shape=shape)
        return cls(values, ones)

    @classmethod
    def of_both(
        cls,
        users_R: NDArray[np.int64],
        items_R: NDArray[np.int64],
        y_R: Array,
        shape: tuple[int, int],
    ) -> tuple[Ratings, Ratings]:
        """Of users and of items, from coordinates in their order.

        Where there are more users than items, items' sums run through the ratings user by user too:
        what is then read and written at random is the items' table, which fits into a cache where
        the users' does not. Each sum adds the same numbers in the same order.
        """
        by_user = cls.of(users_R, items_R, y_R, shape)
        if shape[0] > shape[1]:
            return by_user, cls(by_user.values.T, by_user.pattern.T)
        return by_user, cls.of(items_R, users_R, y_R, shape[::-1])

    @cached_property
    def count(self) -> Array:
        """Number of ratings of each row."""
        return np.asarray(self.pattern.sum(axis=1), dtype=np.float64)

    @cached_property
    def squares(self) -> Array:
        """Sum of the squared targets of each row."""
        return np.asarray(self.values.power(2).sum(axis=1), dtype=np.float64)

    def columns(self, columns: NDArray[np.int64]) -> Ratings:
        """The same rows with some columns only."""
        return Ratings(self.values[:, columns], self.pattern[:, columns])

    def moments(self, design_ED: Array, offset_E: Array) -> tuple[Array, Array]:
        """Sums over each row's ratings of ``x x^T`` and ``x (y - offset)``.

        Sparse products, so there is no loop over rows and nothing is padded.
        """
        gram = self.sums(design_ED[:, :, None] * design_ED[:, None, :])
        return gram, self.values @ design_ED - self.pattern @ (design_ED * offset_E[:, None])

    def sums(self, symmetric_EDD: Array) -> Array:
        """Sums over each row's ratings of symmetric matrices."""
        return symmetric_sums(self.pattern, symmetric_EDD)


def ridge(gram: Array, moment: Array, prior: Array, penalty_D: Array) -> Array:
    """Minimise ``|y - X w|^2 + sum_d penalty_d (w_d - prior_d)^2`` for every row at once."""
    given = (gram, moment, prior, np.diag(penalty_D))
    return posterior(*map(torch.from_numpy, given)).mean.numpy()


def side_map(side: Array, factors: Array, penalty: float) -> Array:
    """Ridge regression of factors on side information; its first column, the constant, is free."""
    gram = side.T @ side + penalty * np.diag(np.arange(side.shape[1]) > 0)
    return np.asarray(np.linalg.solve(gram, side.T @ factors), dtype=np.float64)


@dataclass
class Factorisation:
    """The state between sweeps. Column 0 of ``w`` and ``z`` is the bias, the rest are factors."""

    by_user: Ratings
    by_item: Ratings
    x: Array  # user side information behind a constant
    f: Array  # item side information behind a constant
    w: Array  # [U, D]
    z: Array  # [N, D]
    user_map: Array  # [1 + F, D]
    item_map: Array  # [1 + G, D]
    user_penalty: Array  # [D]
    item_penalty: Array  # [D]
    side_penalty: float

    @classmethod
    def start(cls, history: History, users: NDArray[np.int64], params: MFParams, seed: int) -> Self:
        """Global mean, no biases, small random item factors.

        Args:
            history: Sorted by user.
            users: Rows of users.parquet with a rating, ascending; row r of ``w`` is users[r].
            params: Dimensions and penalties.
            seed: Of the random factors.
        """
        rows = np.searchsorted(users, history.users_R.numpy())
        items, y = history.items_R.numpy(), history.targets_R.numpy().astype(np.float64)
        n_users, n_items, d = len(users), history.n_items, params.factors
        x = behind_constant(history.user_features_UF.numpy()[users])
        f = behind_constant(history.item_features_NG.numpy())
        z = np.random.default_rng(seed).normal(scale=START, size=(n_items, 1 + d))
        z[:, 0] = y.mean()
        item_map = np.zeros((f.shape[1], 1 + d))
        item_map[0, 0] = y.mean()
        by_user, by_item = Ratings.of_both(rows, items, y, (n_users, n_items))
        return cls(
            by_user=by_user,
            by_item=by_item,
            x=x,
            f=f,
            w=np.zeros((n_users, 1 + d)),
            z=z,
            user_map=np.zeros((x.shape[1], 1 + d)),
            item_map=item_map,
            user_penalty=np.array([params.bias_penalty] + d * [params.user_penalty]),
            item_penalty=np.array([params.bias_penalty] + d * [params.item_penalty]),
            side_penalty=params.side_penalty,
        )

    def sweep(self) -> None:
        """Users, their map, items, their map."""
        gram, moment = self.by_user.moments(constant_first(self.z), self.z[:, 0])
        self.w = ridge(gram, moment, self.x @ self.user_map, self.user_penalty)
        self.user_map = side_map(self.x, self.w, self.side_penalty)
        self.z = self.item_step(*self.item_moments(self.by_item, slice(None)))
        self.item_map = side_map(self.f, self.z, self.side_penalty)

    def item_moments(
        self, ratings: Ratings, users: slice | NDArray[np.int64]
    ) -> tuple[Array, Array]:
        """What the items' regressions need of some users' ratings; sums over users add up."""
        w = self.w[users]
        return ratings.moments(constant_first(w), w[:, 0])

    def item_step(self, gram: Array, moment: Array) -> Array:
        """Items given the users and the current map."""
        return ridge(gram, moment, self.f @ self.item_map, self.item_penalty)


def fit_mf(history: History, validation: Chooser, params: PretrainParams, seed: int) -> Backbone:
    """Fit on all historical users, then refit the items once without each group of users.

    The cross-fitted tables are one item half-step with the users' factors held fixed, from the
    total moments less the group's own: so all tables share one coordinate system.
    """
    users = np.unique(history.users_R.numpy())
    model = Factorisation.start(history, users, params.mf, seed)
    for _ in progress(range(params.mf.sweeps), "mf sweeps"):
        model.sweep()
    gram, moment = model.item_moments(model.by_item, slice(None))
    count = model.by_item.count
    tables, counts = [model.item_step(gram, moment)], [count]
    group = user_groups(len(users), params.mf.crossfit, seed)
    for g in range(1, group.max(initial=0) + 1):
        rows = np.flatnonzero(group == g)
        left_out = model.by_item.columns(rows)
        gram_g, moment_g = model.item_moments(left_out, rows)
        tables.append(model.item_step(gram - gram_g, moment - moment_g))
        counts.append(count - left_out.count)
    group_U = torch.zeros(history.n_users, dtype=torch.int64)
    group_U[users] = torch.from_numpy(group)
    z_CND, count_CN = np.stack(tables), np.stack(counts)
    return _backbone(z_CND, count_CN, model.user_map, group_U, history)


def user_groups(n_users: int, crossfit: int, seed: int) -> NDArray[np.int64]:
    """A random group from 1 to ``crossfit`` for each user, of equal size; all 0 without groups."""
    if crossfit == 1:
        return np.zeros(n_users, dtype=np.int64)
    return np.random.default_rng(seed).permutation(np.arange(n_users) % crossfit) + 1


def constant_first(factors: Array) -> Array:
    """The design vectors of one side: a constant in place of the bias, then the factors."""
    return np.hstack([np.ones((len(factors), 1)), factors[:, 1:]])


def behind_constant(features: NDArray[np.float32]) -> Array:
    """Side information with a column of ones in front."""
    return np.hstack([np.ones((len(features), 1)), features.astype(np.float64)])


def _backbone(
    z_CND: Array,
    count_CN: Array,
    user_map: Array,
    group_U: torch.Tensor,
    history: History,
) -> Backbone:
    """What the average user gives an item becomes its offset, so that the prior has no constant."""
    features = np.concatenate([np.ones_like(z_CND[..., :1]), z_CND[..., 1:]], axis=-1)
    offset = z_CND[..., 0] + features @ user_map[0]
    return Backbone(
        kind="mf",
        features_CND=_float32(features),
        offset_CN=_float32(offset),
        count_CN=_float32(count_CN),
        prior_FD=_float32(user_map[1:]),
        group_U=group_U,
        side_NG=history.item_features_NG,
        **unfitted(history, z_CND.shape[-1]),
    )


def _float32(values: Array) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))
