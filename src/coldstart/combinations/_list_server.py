"""A list for one user alone, in numpy: the ranking of ``list.py``, and the ratings when asked for.

Legend: S support, Q items, N items, M items with company, J signals but the choice.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from coldstart.combinations._list_signals import LEAST, Signals, expected_shares
from coldstart.models.foldin_alone import FoldInServer, Known
from coldstart.models.server import Floats, Ints, Ratings, Server


class Newcomer(NamedTuple):
    """All that is known of a user."""

    choice: Known
    taste: Known
    features_F: Floats


class ListServer(Server):
    """Ranks by the weighted signals; the rating member adapts when a rating is asked for."""

    def __init__(self, rating: Server, signals: Signals, weights_KJ: Tensor) -> None:
        self._rating = rating
        self._choosing = FoldInServer(signals.choosing)
        self._tasting = FoldInServer(signals.tasting)
        self._slope, self._border = float(signals.slope), float(signals.backbone.like)
        self._above_N, self._least_N = least_chosen(signals.backbone.exposure.share_CN[0])
        self._row_N, self._items_M = signals.rows.numpy() - 1, signals.items_M.numpy()
        self._company_MM = np.ascontiguousarray(signals.company_MM.numpy())
        self._below, self._weights_KJ = float(signals.below), weights_KJ.numpy()

    def adapt(self, items_S: Ints, targets_S: Floats, features_F: Floats) -> Newcomer:
        """Posterior means of exposure and taste."""
        choice = self._choosing.adapt(items_S, np.ones_like(targets_S), features_F)
        taste = self._tasting.adapt(items_S, targets_S, features_F)
        return Newcomer(choice, taste, features_F)

    def rank(self, state: Newcomer) -> Floats:
        """See :meth:`List.rank_catalogue`."""
        size = min(state.choice.size, len(self._weights_KJ) - 1)
        weight_of_like, weight_of_company = self._weights_KJ[size]
        scores_N = self._choosing.rank(state.choice)
        scores_N += self._above_N
        np.maximum(scores_N, self._least_N, out=scores_N)
        np.log(scores_N, out=scores_N)
        like_N = self._tasting.rank(state.taste)
        like_N -= self._border
        like_N *= -self._slope
        scores_N -= weight_of_like * softplus(like_N)
        scores_N[self._items_M] += weight_of_company * self._company(state.taste)
        return scores_N

    def score(self, state: Newcomer, items_Q: Ints) -> Ratings:
        """The rating member's."""
        known: Any = self._rating.adapt(
            state.taste.items_S, state.taste.targets_S, state.features_F
        )
        return self._rating.score(known, items_Q)

    def _company(self, known: Known) -> Floats:
        row_S = self._row_N.take(known.items_S)
        weights_S = np.where(known.targets_S > self._border, 1.0, self._below) * (row_S >= 0)
        added_M: Floats = weights_S.astype(np.float32).dot(self._company_MM.take(row_S, 0))
        return added_M


def least_chosen(share_N: Tensor) -> tuple[Floats, Floats]:
    """What :func:`expected_shares` adds to shares, and the smallest expected exposure."""
    expected_N = expected_shares(share_N)
    return (expected_N - share_N).numpy(), (LEAST * expected_N).numpy()


def softplus(x: Floats) -> Floats:
    """``log(1 + e^x)`` for any x; numpy's ``logaddexp`` takes eight times as long."""
    most: Floats = np.log1p(np.exp(-np.abs(x)))
    most += np.maximum(x, 0)
    return most
