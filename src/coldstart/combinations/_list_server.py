"""A list for one user alone, in numpy: the ranking of ``list.py``, and the ratings when asked for.

Legend: S support, Q items, N items, M items with company, J signals but the choice, F features of
a user.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from coldstart.combinations._list_signals import LEAST, Signals, expected_shares
from coldstart.combinations._list_strangers import Strangers
from coldstart.models.choosing import Choosing, ChoosingServer, Chosen
from coldstart.models.foldin_alone import FoldInServer, Known
from coldstart.models.server import Floats, Ints, Ratings, Server


class Newcomer(NamedTuple):
    """All that is known of a user."""

    choice: Chosen
    taste: Known
    features_F: Floats


class Chances:
    """``log P(rates i)`` and ``log P(likes i | rates i)``, with what strangers like."""

    def __init__(
        self, choosing: Choosing, curve: tuple[Tensor, Tensor], strangers: Strangers
    ) -> None:
        """Lay out both.

        Args:
            choosing: the model of exposure.
            curve: slope and border of the curve of likes.
            strangers: what is liked by people of whom no rating is known.
        """
        self._choosing, share_N = ChoosingServer(choosing), choosing.exposure.share_CN[0]
        expected_N = expected_shares(share_N)
        self._above_N = (expected_N - share_N).numpy()
        self._least_N = (LEAST * expected_N).numpy()
        self._slope, self.border = map(float, curve)
        self._popular_N = strangers.popular_N.numpy()
        self._known_N = strangers.known_N.numpy()
        self._alike_FM, self._items_M = strangers.alike_FM.numpy(), strangers.items_M.numpy()

    def adapt(self, items_S: Ints, features_F: Floats) -> Chosen:
        """Posterior of exposure."""
        return self._choosing.adapt(items_S, features_F)

    def choice(self, choice: Chosen) -> Floats:
        """``log P(rates i)``."""
        return self._log_choice(self._choosing.expected(choice.mean_E))

    def unlike(self, rating_N: Floats) -> Floats:
        """``-log P(likes i | rates i)``; overwrites the ratings that are predicted."""
        rating_N -= self.border
        rating_N *= -self._slope
        return softplus(rating_N)

    def correction(self, choice: Chosen, features_F: Floats, expected_N: Floats) -> Floats:
        """What is added to the choice: see :func:`_list_strangers.correction`.

        Args:
            choice: of the user.
            features_F: likewise.
            expected_N: ratings predicted before the first; overwritten.
        """
        more_N = self._popular_N + self.unlike(expected_N)
        more_N -= self._log_choice(self._choosing.expected(choice.before_E))
        own_M = np.flatnonzero(features_F > 0)
        more_N[self._items_M] += self._alike_FM[own_M].sum(0)
        more_N *= self._known_N
        more_N /= np.float32(1 + choice.size)
        return more_N

    def _log_choice(self, scores_N: Floats) -> Floats:
        scores_N += self._above_N
        np.maximum(scores_N, self._least_N, out=scores_N)
        logs_N: Floats = np.log(scores_N, out=scores_N)
        return logs_N


class ListServer(Server):
    """Ranks by the weighted signals; the rating member adapts when a rating is asked for."""

    def __init__(self, rating: Server, signals: Signals, weights_KJ: Tensor) -> None:
        self._rating = rating
        curve = signals.slope, signals.backbone.like
        self._chances = Chances(signals.choosing, curve, signals.strangers)
        self._tasting = FoldInServer(signals.tasting)
        self._row_N, self._items_M = signals.rows.numpy() - 1, signals.items_M.numpy()
        self._company_MM = np.ascontiguousarray(signals.company_MM.numpy())
        self._below, self._weights_KJ = float(signals.below), weights_KJ.numpy()

    def adapt(self, items_S: Ints, targets_S: Floats, features_F: Floats) -> Newcomer:
        """Posterior means of exposure and taste."""
        choice = self._chances.adapt(items_S, features_F)
        taste = self._tasting.adapt(items_S, targets_S, features_F)
        return Newcomer(choice, taste, features_F)

    def rank(self, state: Newcomer) -> Floats:
        """See :meth:`List.rank_catalogue`."""
        size = state.choice.size
        of_like, of_company = self._weights_KJ[min(size, len(self._weights_KJ) - 1)]
        expected_N = self._tasting.expected(state.features_F)
        scores_N = self._chances.choice(state.choice)
        scores_N += self._chances.correction(state.choice, state.features_F, expected_N)
        scores_N -= of_like * self._chances.unlike(self._tasting.rank(state.taste))
        scores_N[self._items_M] += of_company * self._company(state.taste)
        return scores_N

    def score(self, state: Newcomer, items_Q: Ints) -> Ratings:
        """The rating member's."""
        known: Any = self._rating.adapt(
            state.taste.items_S, state.taste.targets_S, state.features_F
        )
        return self._rating.score(known, items_Q)

    def _company(self, known: Known) -> Floats:
        row_S = self._row_N.take(known.items_S)
        liked_S = known.targets_S > self._chances.border
        weights_S = np.where(liked_S, 1.0, self._below) * (row_S >= 0)
        added_M: Floats = weights_S.astype(np.float32).dot(self._company_MM.take(row_S, 0))
        return added_M


def softplus(x: Floats) -> Floats:
    """``log(1 + e^x)`` for any x; numpy's ``logaddexp`` takes eight times as long."""
    most: Floats = np.log1p(np.exp(-np.abs(x)))
    most += np.maximum(x, 0)
    return most
