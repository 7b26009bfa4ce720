"""Which items people choose to rate: a linear Gaussian model of exposure, in closed form.

``x_ui = p_i + v_i . z_u + e`` where ``x_ui`` says whether user u rated item i and ``z_u ~ N(A x_u,
I)``. Factors are those of the centred matrix's singular value decomposition. A row is divided by
a power of its number of ratings, so that the busiest users do not decide alone. All that is known
of a newcomer are some ones; ``choosing.py`` has the posterior mean of ``z`` given them, which
regression from binary data alone (EASE, implicit ALS) lacks: it knows how many ones there are and
starts from popularity.

An item that nobody rated has the share and the factors that its attributes suggest.

Cross-fitted tables leave a group of users out of the item step and of the map ``A``, with the
users' coordinates held fixed, so that all tables share one coordinate system.

Legend: U users with ratings, N items, E factors, F user features, C tables.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from coldstart.data.embedding import leading_vectors
from coldstart.data.episodes import History
from coldstart.models.backbone import Backbone
from coldstart.params import ExposureParams

Floats = NDArray[np.float64]
RIDGE = 1e-6
"""Keeps the item step solvable where a coordinate is 0 for everybody."""


def with_exposure(
    backbone: Backbone, history: History, params: ExposureParams, seed: int
) -> Backbone:
    """The same backbone with the model of exposure.

    Args:
        backbone: its ``group_U`` says which users share a cross-fitted table.
        history: what the backbone was fitted on.
        params: dimension, weighting of users, noise and penalty.
        seed: of the vector that the decomposition starts from.
    """
    users, row_R = np.unique(history.users_R.numpy(), return_inverse=True)
    count_U = np.bincount(row_R).astype(np.float64)
    value_U = count_U**-params.activity
    value_U *= count_U.sum() / (count_U * value_U).sum()  # as many ratings as there are
    x_UN = sparse.csr_array(
        (value_U[row_R], (row_R, history.items_R.numpy())), shape=(len(users), history.n_items)
    )
    z_UE = _coordinates(x_UN, params.factors, seed)
    group_U = backbone.group_U.numpy()[users]
    features_UF = history.user_features_UF.numpy()[users].astype(np.float64)
    tables, priors = [], []
    for group in range(len(backbone.features_CND)):
        rest = group_U != group if group else np.full(len(users), fill_value=True)
        x_RN = x_UN[rest]
        found = _item_step(x_RN, z_UE[rest])
        tables.append(_with_new_items(found, x_RN, history.item_features_NG, params.penalty))
        priors.append(_map_of_attributes(features_UF[rest], z_UE[rest], params.penalty))
    exposed_CN = np.stack([share for share, _ in tables])
    variance = float(x_UN.power(2).sum() / len(users) - np.square(x_UN.mean(axis=0)).sum())
    return replace(
        backbone,
        exposed_CN=_float32(exposed_CN),
        exposure_CNE=_float32(np.stack([factors for _, factors in tables])),
        exposure_CFE=_float32(np.stack(priors)),
        exposure_noise=torch.tensor(max(params.noise * variance / history.n_items, 1e-6)),
    )


def _coordinates(x_UN: sparse.csr_array, n_factors: int, seed: int) -> Floats:
    """Left singular vectors of the centred matrix, of unit variance: ``[U, E]``.

    Columns beyond the rank that the data can have are 0.
    """
    U, N = x_UN.shape
    mean_N = np.asarray(x_UN.mean(axis=0)).ravel()
    transposed = x_UN.T  # by user too: read by item, a product jumps about in all users
    centred = LinearOperator(
        (U, N),
        matvec=lambda w: x_UN @ w.ravel() - mean_N @ w.ravel(),
        rmatvec=lambda w: transposed @ w.ravel() - mean_N * w.sum(),
        matmat=lambda w: x_UN @ w - mean_N @ w,
        rmatmat=lambda w: transposed @ w - np.outer(mean_N, w.sum(0)),
        dtype=np.float64,
    )
    start = np.random.default_rng(seed).normal(size=min(U, N))
    left_UE, _ = leading_vectors(centred, n_factors, start)
    coordinates_UE: Floats = left_UE * np.sqrt(U)
    return coordinates_UE


def _item_step(x_UN: sparse.csr_array, z_UE: Floats) -> tuple[Floats, Floats]:
    """Shares of these users, and factors by least squares around them: ``[N]``, ``[N, E]``.

    Coordinates are those of all users, whose mean is 0. An intercept at 0 would extrapolate from
    these users to all and so give back, along the factors, the very users who were left out.
    """
    share_N: Floats = np.asarray(x_UN.mean(axis=0), dtype=np.float64).ravel()
    rest_UE = z_UE - z_UE.mean(axis=0)
    gram_EE = rest_UE.T @ rest_UE + RIDGE * np.eye(z_UE.shape[1])
    factors_EN = np.linalg.solve(gram_EE, (x_UN.T @ rest_UE).T)
    return share_N, factors_EN.T


def _map_of_attributes(features_UF: Floats, z_UE: Floats, penalty: float) -> Floats:
    """``A`` by ridge regression: ``[F, E]``."""
    gram_FF = features_UF.T @ features_UF + penalty * np.eye(features_UF.shape[1])
    return np.asarray(np.linalg.solve(gram_FF, features_UF.T @ z_UE), dtype=np.float64)


def _with_new_items(
    table: tuple[Floats, Floats], x_UN: sparse.csr_array, features_NG: Tensor, penalty: float
) -> tuple[Floats, Floats]:
    """Items that nobody rated get what their attributes suggest, by ridge regression.

    That nobody rated one says that it is new, not that nobody wants it.
    """
    rated_N = np.asarray(x_UN.sum(axis=0)).ravel() > 0
    new_N = ~rated_N
    new_N[0] = False  # the unknown item is nobody's
    if not rated_N.any() or not new_N.any():
        return table
    design_NX = np.hstack([np.ones((len(rated_N), 1)), features_NG.double().numpy()])
    values_NY = np.column_stack(table)
    penalty_X = np.full(design_NX.shape[1], penalty)
    penalty_X[0] = 0.0  # the mean is not shrunk
    known_RX = design_NX[rated_N]
    gram_XX = known_RX.T @ known_RX + np.diag(penalty_X)
    map_XY = np.linalg.solve(gram_XX, known_RX.T @ values_NY[rated_N])
    values_NY[new_N] = design_NX[new_N] @ map_XY
    values_NY[new_N, 0] = values_NY[new_N, 0].clip(min=0.0)
    return values_NY[:, 0], values_NY[:, 1:]


def _float32(values: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
