"""The one posterior for one user alone, in numpy: the formulas of ``foldin.py``, no batch.

What a rating adds is fixed per item and laid out as a row: a user is a sum of a few rows and a
small solve. Rows are float32 as the model is; the solve is float64.

Legend: S ratings of the user, Q items to predict, N items, F user features, D features of an item,
X numbers of a row.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv

from coldstart.models.foldin import FoldIn, cross_moment, second_moment
from coldstart.models.server import Floats, Ints, Ratings, Server

Doubles = NDArray[np.float64]
_ONES = np.ones(64, dtype=np.float32)


class Known(NamedTuple):
    """All that is known of a user."""

    items_S: Ints
    targets_S: Floats
    gram_DD: Doubles
    right_D: Doubles
    precision_DD: Doubles  # of the posterior
    mean_D: Doubles

    @property
    def size(self) -> int:
        """Number of ratings."""
        return len(self.items_S)


class FoldInServer(Server):
    """Ranks by, and predicts, ``offset + x . w``; the variance is that of it, without any noise."""

    def __init__(self, model: FoldIn) -> None:
        """Lay out what each item adds, from the table of new users."""
        with torch.inference_mode(False), torch.no_grad():
            n_items, self._D = model.x_CND.shape[1:]
            everything_N = torch.arange(n_items)
            items = model.items(everything_N, torch.zeros_like(everything_N))
            weight_N1 = model.weight_CN[0].unsqueeze(-1)
            parts = [cross_moment(items) * weight_N1]
            if model.choice_CND is not None:
                parts.append(model.choice_CND[0])
            self._uncertain = items.covariance is not None
            if self._uncertain:  # the sum of x x' is not a product of the sum's parts
                parts.append(second_moment(items).flatten(1) * weight_N1)
            self._rows_NX = torch.cat(parts, -1).float().numpy()
            self._weighted_ND = (items.x * weight_N1).float().numpy()
            self._weight_N = model.weight_CN[0].float().numpy()
            self._x_ND = items.x.float().numpy()
            self._x_DN = np.ascontiguousarray(self._x_ND.T)
            self._offset_N = items.offset.float().numpy()
            self._own_NDD = None if items.covariance is None else items.covariance.float().numpy()
            self._informed = model.choice_CND is not None
            self._precision_DD = model.precision_DD.double().numpy()
            self._prior_FD = model.prior_CFD[0].float().numpy()
            self._damping = float(model.damping)

    def adapt(self, items_S: Ints, targets_S: Floats, features_F: Floats) -> Known:
        """The posterior of ``w``."""
        D, count = self._D, len(items_S)
        ones_S = _ONES[:count] if count <= len(_ONES) else np.ones(count, dtype=np.float32)
        sums_X = ones_S.dot(self._rows_NX.take(items_S, 0)).astype(np.float64)
        weighted_SD = self._weighted_ND.take(items_S, 0)
        right_D = targets_S.dot(weighted_SD) - sums_X[:D]
        prior_D = features_F.dot(self._prior_FD)
        if self._informed:
            prior_D = prior_D + sums_X[D : 2 * D] / (count + self._damping)
        if self._uncertain:
            gram_DD = sums_X[-D * D :].reshape(D, D)
        else:
            gram_DD = weighted_SD.T.dot(self._x_ND.take(items_S, 0)).astype(np.float64)
        precision_DD = gram_DD + self._precision_DD
        _, step_D, info = dposv(precision_DD, right_D - gram_DD.dot(prior_D))
        if info:
            raise np.linalg.LinAlgError(
                "the precision of a user's weights is not positive definite"
            )
        return Known(items_S, targets_S, gram_DD, right_D, precision_DD, prior_D + step_D)

    def rank(self, state: Known) -> Floats:
        """``offset + x . w`` of all items."""
        return self._catalogue(state.mean_D)

    def expected(self, features_F: Floats) -> Floats:
        """``offset + x . w`` of all items for somebody of whom no rating is known."""
        return self._catalogue(features_F.dot(self._prior_FD))

    def _catalogue(self, mean_D: Floats) -> Floats:
        scores_N: Floats = mean_D.astype(np.float32).dot(self._x_DN)
        scores_N += self._offset_N
        return scores_N

    def score(self, state: Known, items_Q: Ints) -> Ratings:
        """Mean and variance of ``offset + x . w``, as ``foldin.predictive``."""
        x_QD, covariance_DD = self._x_ND.take(items_Q, 0), _inverse(state.precision_DD)
        variance_Q: Floats = (x_QD.dot(covariance_DD) * x_QD).sum(1)
        if self._own_NDD is not None:
            variance_Q = variance_Q + self._own_variance(state.mean_D, covariance_DD, items_Q)
        return Ratings(self.mean(state, items_Q), variance_Q)

    def mean(self, state: Known, items_Q: Ints) -> Floats:
        """Mean of ``offset + x . w``: ``[Q]``."""
        mean_Q: Floats = self._offset_N.take(items_Q) + self._x_ND.take(items_Q, 0).dot(
            state.mean_D
        )
        return mean_Q

    def expected_error(self, state: Known) -> float:
        """Squared errors of the ratings over their noise, as ``foldin.expected_error``."""
        rest_S = state.targets_S - self._offset_N.take(state.items_S)
        square_S: Any = rest_S * rest_S
        if self._own_NDD is not None:
            square_S = square_S + self._own_NDD[state.items_S, 0, 0]
        mean_D = state.mean_D
        second_DD = np.outer(mean_D, mean_D) + _inverse(state.precision_DD)
        linear = state.right_D.dot(mean_D)
        square = self._weight_N.take(state.items_S).dot(square_S)
        return float(square - 2 * linear + (state.gram_DD * second_DD).sum())

    def _own_variance(self, mean_D: Doubles, covariance_DD: Doubles, items_Q: Ints) -> Doubles:
        assert self._own_NDD is not None
        tilde_D, second_DD = mean_D.copy(), covariance_DD.copy()
        tilde_D[0] = 1
        second_DD[0] = second_DD[:, 0] = 0
        second_DD += np.outer(tilde_D, tilde_D)
        own_Q: Doubles = (
            self._own_NDD.take(items_Q, 0).reshape(len(items_Q), -1) @ second_DD.ravel()
        )
        return own_Q


def _inverse(matrix_DD: Doubles) -> Doubles:
    return np.linalg.inv(matrix_DD).astype(np.float64, copy=False)
