"""Intervals and comparisons: the paired bootstrap over users, and Holm's correction.

Shapes: U users, C columns (a metric of a method at K shots), R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_CHUNK = 500


def resampled_means(values_UC: Floats, resamples: int, seed: int) -> Floats:
    """Column means over users drawn with replacement: ``[R, C]``.

    All columns see the same draws, so differences of columns are paired by user. A NaN leaves its
    user out of that column only; a resample without any user of a column is NaN.
    """
    n_users, n_columns = values_UC.shape
    present_UC = ~np.isnan(values_UC)
    patterns_UP, which_C = np.unique(present_UC, axis=1, return_inverse=True)
    filled_UC = np.where(present_UC, values_UC, 0.0)
    weights_UP = patterns_UP.astype(np.float64)
    rng = np.random.default_rng(seed)
    means_RC = np.empty((resamples, n_columns))
    for start in range(0, resamples, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        drawn_RU = _counts(rng, rows, n_users)
        with np.errstate(invalid="ignore"):
            means = (drawn_RU @ filled_UC) / (drawn_RU @ weights_UP)[:, which_C.ravel()]
        means_RC[start : start + rows] = means
    return means_RC


def _counts(rng: np.random.Generator, rows: int, n_users: int) -> Floats:
    """How often each user is drawn in each of ``rows`` resamples of the same size."""
    drawn = rng.integers(n_users, size=(rows, n_users))
    drawn += np.arange(rows)[:, None] * n_users
    counts: NDArray[np.intp] = np.bincount(drawn.ravel(), minlength=rows * n_users)
    return counts.reshape(rows, n_users).astype(np.float64)


def interval(samples_RC: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Percentile interval of each column; NaN where no resample has a value."""
    tail = (1 - confidence) / 2
    known_C = ~np.isnan(samples_RC).all(0)
    both = np.full((2, samples_RC.shape[1]), np.nan)
    both[:, known_C] = np.nanquantile(samples_RC[:, known_C], (tail, 1 - tail), axis=0)
    return both[0], both[1]


def p_values(differences_RC: Floats) -> Floats:
    """Two-sided: how often the resampled difference lies on the other side of zero.

    Never below ``2 / (R + 1)``: the bootstrap cannot resolve more.
    """
    resamples = len(differences_RC)
    below = (differences_RC <= 0).sum(0) + 1
    above = (differences_RC >= 0).sum(0) + 1
    p: Floats = np.minimum(1.0, 2 * np.minimum(below, above) / (resamples + 1))
    return p


def holm(p: Sequence[float] | Floats) -> Floats:
    """Holm's step-down adjustment: compare the result with the level of the whole table."""
    raw = np.asarray(p, dtype=float)
    order = np.argsort(raw, kind="stable")
    scaled = raw[order] * np.arange(len(raw), 0, -1)
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return adjusted


def user_table(rows: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Users x (metric, method, k): the mean over seeds (and folds, where a user is in several)."""
    return rows.pivot_table(
        index="user",
        columns=["method", "k"],
        values=list(metrics),
        aggfunc="mean",
        observed=True,
        dropna=False,
        sort=True,
    )


def column_means(values_UC: Floats) -> Floats:
    """Mean of what is known in each column; NaN where nothing is."""
    present_UC = ~np.isnan(values_UC)
    with np.errstate(invalid="ignore"):
        means_C: Floats = np.where(present_UC, values_UC, 0.0).sum(0) / present_UC.sum(0)
    return means_C


def over_shots(values: Floats, columns: Sequence[tuple[str, int]], names: Sequence[str]) -> Floats:
    """Mean over all K of each name's columns ``(name, k)``: ``[..., C]`` to ``[..., names]``."""
    owner = np.array([name for name, _ in columns])
    return np.stack([values[..., owner == name].mean(-1) for name in names], -1)
