"""multitask for one user alone, in numpy: the scores of ``multitask.py`` with the rating head.

Legend: S support, Q items, N items, D features, E factors of exposure, H units, T signals,
Y inputs of the user.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from coldstart.algorithms._base import Theta
from coldstart.models.choosing import Choosing, ChoosingServer, Chosen
from coldstart.models.foldin import FoldIn
from coldstart.models.foldin_alone import FoldInServer, Known
from coldstart.models.server import Floats, Ints, Ratings, Server


class Newcomer(NamedTuple):
    """All that is known of a user."""

    choice: Chosen
    taste: Known
    per_unit_HT: Floats  # what a unit of an item's trunk adds to each signal


class Tables(NamedTuple):
    """What is fixed per item and for all users."""

    share_N: Floats
    least_N: Floats  # smallest expected exposure
    units_NH: Floats  # the items' side of the trunk
    taste_size_D: Floats  # typical size of each weight
    noise: float  # variance of a rating around its prediction


class MultiTaskServer(Server):
    """Ranks by choice and like, predicts ratings."""

    def __init__(self, choosing: Choosing, tasting: FoldIn, tables: Tables, theta: Theta) -> None:
        self._choosing, self._tasting = ChoosingServer(choosing), FoldInServer(tasting)
        self._tables = tables
        self._units_HN = np.ascontiguousarray(tables.units_NH.T)
        self._above_N = tables.share_N - choosing.exposure.share_CN[0].numpy()
        names = ("user_YH", "user_H", "task_HT")
        self._user_YH, self._user_H, self._task_HT = (theta[name].numpy() for name in names)
        log_slope, self._threshold = theta["like_2"].tolist()
        self._slope = float(np.exp(log_slope))
        self._spread = float(theta["log_spread"].exp())

    def adapt(self, items_S: Ints, targets_S: Floats, features_F: Floats) -> Newcomer:
        """Posterior means of exposure and taste, and what the trunk makes of them."""
        choice = self._choosing.adapt(items_S, features_F)
        taste = self._tasting.adapt(items_S, targets_S, features_F)
        size_D, count_1 = self._tables.taste_size_D, [np.log1p(taste.size)]
        inputs_Y = np.concatenate([choice.mean_E, taste.mean_D / size_D, count_1, features_F])
        trunk_H = np.tanh(inputs_Y.astype(np.float32).dot(self._user_YH) + self._user_H)
        return Newcomer(choice, taste, trunk_H[:, None] * self._task_HT)

    def rank(self, state: Newcomer) -> Floats:
        """``log P(rates i) + log P(likes i)``."""
        exposure_N, like_N, rating_N = state.per_unit_HT.T.dot(self._units_HN)
        rating_N += self._tasting.rank(state.taste)
        rating_N -= self._threshold
        like_N += self._slope * rating_N
        expected_N = self._choosing.expected(state.choice.mean_E)
        expected_N += self._above_N
        np.maximum(expected_N, self._tables.least_N, out=expected_N)
        exposure_N += np.log(expected_N, out=expected_N)
        exposure_N -= np.logaddexp(0, -like_N, dtype=like_N.dtype)
        return exposure_N  # type: ignore[no-any-return]

    def score(self, state: Newcomer, items_Q: Ints) -> Ratings:
        """The rating and its predictive variance."""
        mean_Q, variance_Q = self._tasting.score(state.taste, items_Q)
        assert variance_Q is not None
        correction_Q = self._tables.units_NH.take(items_Q, 0).dot(state.per_unit_HT[:, 2])
        return Ratings(mean_Q + correction_Q, self._spread * (variance_Q + self._tables.noise))
