"""Metrics per user, vectorised over users; the averages over users are taken elsewhere.

Shapes: B users, Q query items, N items with the unknown one (row 0), S support items, T the top of
a ranking. Every function returns float64 ``[B]`` and NaN for a user on whom it is undefined (no
liked item, say). Equal scores are ordered at random by ``ties``, integers in ``[0, 2^31)`` that the
protocol draws per user, so no method profits from the order in which a catalogue happens to lie.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coldstart.errors import EvaluationError

Floats = NDArray[np.float64]
TOP = 10
"""Length of a list of recommendations."""
_LOWEST = torch.iinfo(torch.int64).min


def ranking_keys(scores: Tensor, ties: Tensor) -> Tensor:
    """Integers that sort like ``(score, tie)``; of the shape of both.

    The bits of a float32, read as an integer, sort like the float (for negative ones after
    flipping the lower 31 bits); below them 31 bits are left for the tie.

    Raises:
        EvaluationError: a score is NaN or infinite.
    """
    if not bool(torch.isfinite(scores).all()):
        raise EvaluationError("a score is NaN or infinite: the method cannot be evaluated")
    bits = (scores.to(torch.float32) + 0.0).view(torch.int32)  # + 0.0 makes -0.0 equal to 0.0
    ordered = torch.where(bits >= 0, bits, bits ^ 0x7FFFFFFF)
    return (ordered.to(torch.int64) << 31) + ties


def mean_of(values_BQ: Tensor, mask_BQ: Tensor) -> Tensor:
    """Mean over the query items that are not padding."""
    total_B = torch.where(mask_BQ, values_BQ.double(), 0.0).sum(1)
    return total_B / mask_BQ.sum(1)  # 0 / 0 is the NaN that is wanted


def squared_error(predictions_BQ: Tensor, targets_BQ: Tensor, mask_BQ: Tensor) -> Tensor:
    """Mean squared error, in squared rating points."""
    return mean_of((predictions_BQ.double() - targets_BQ.double()).square(), mask_BQ)


def absolute_error(predictions_BQ: Tensor, targets_BQ: Tensor, mask_BQ: Tensor) -> Tensor:
    """Mean absolute error, in rating points."""
    return mean_of((predictions_BQ.double() - targets_BQ.double()).abs(), mask_BQ)


def log_loss(predictions_BQ: Tensor, targets_BQ: Tensor, mask_BQ: Tensor) -> Tensor:
    """Mean binary cross-entropy in nats; predictions must lie strictly inside (0, 1)."""
    p_BQ, y_BQ = predictions_BQ.double(), targets_BQ.double()
    return mean_of(-(y_BQ * p_BQ.log() + (1 - y_BQ) * (-p_BQ).log1p()), mask_BQ)


def gaussian_nll(
    mean_BQ: Tensor, variance_BQ: Tensor, targets_BQ: Tensor, mask_BQ: Tensor
) -> Tensor:
    """Mean negative log-density of the ratings under the predicted normal, in nats."""
    v_BQ = variance_BQ.double()
    z2_BQ = (targets_BQ.double() - mean_BQ.double()).square() / v_BQ
    return mean_of(0.5 * (z2_BQ + (2 * math.pi * v_BQ).log()), mask_BQ)


def covered(
    mean_BQ: Tensor, variance_BQ: Tensor, targets_BQ: Tensor, mask_BQ: Tensor, level: float
) -> Tensor:
    """Share of the ratings inside the central interval of probability ``level``."""
    z = math.sqrt(2) * float(torch.special.erfinv(torch.tensor(level, dtype=torch.float64)))
    inside_BQ = (targets_BQ - mean_BQ).double().abs() <= z * variance_BQ.double().sqrt()
    return mean_of(inside_BQ, mask_BQ)


def discounts(length: int) -> Tensor:
    """``1 / log2(1 + rank)`` for ranks from 1: float64 ``[length]``."""
    return 1.0 / torch.log2(torch.arange(2, length + 2, dtype=torch.float64))


def gains(ratings: Tensor, low: float, high: float) -> Tensor:
    """What a rating is worth: ``2^g - 1`` (Burges et al. 2005), float64 from 0 to 15.

    ``g`` is where it stands between the lowest and the highest rating of the scale, times 4: a
    scale from 1 to 5 has the gains 0, 1, 3, 7, 15, and so has any other of five even steps.
    """
    place = ((ratings.double() - low) / (high - low)).clamp(0, 1)
    return torch.exp2(4 * place) - 1


def graded_ndcg(
    scores_BQ: Tensor, gains_BQ: Tensor, mask_BQ: Tensor, ties_BQ: Tensor, top: int
) -> Tensor:
    """NDCG of the ranked query; 1 where nothing gains anything, since any order is the best then.

    The ideal orders by gain; ties among equal gains cannot change its value.
    """
    gains_BQ = torch.where(mask_BQ, gains_BQ.double(), 0.0)
    keys_BQ = ranking_keys(scores_BQ, ties_BQ).masked_fill(~mask_BQ, _LOWEST)
    ranked_BQ = gains_BQ.gather(1, keys_BQ.argsort(dim=1, descending=True, stable=True))
    ideal_BQ = gains_BQ.sort(dim=1, descending=True).values
    top = min(top, gains_BQ.shape[1])
    weights = discounts(top)
    best_B = ideal_BQ[:, :top] @ weights
    return torch.where(best_B > 0, (ranked_BQ[:, :top] @ weights) / best_B, 1.0)


def auc(scores_BQ: Tensor, liked_BQ: Tensor, mask_BQ: Tensor) -> Tensor:
    """Chance that a liked query item scores above one that is not.

    A tie counts one half, which is what breaking it at random gives on average.
    """
    s_BQ = scores_BQ.double()
    likes_BQ, others_BQ = (liked_BQ & mask_BQ).double(), (~liked_BQ & mask_BQ).double()
    wins_BQQ = torch.heaviside(s_BQ[:, :, None] - s_BQ[:, None, :], torch.tensor(0.5).double())
    won_B = torch.einsum("bi,bij,bj->b", likes_BQ, wins_BQQ, others_BQ)
    return won_B / (likes_BQ.sum(1) * others_BQ.sum(1))


def pooled_auc(scores_R: Floats, liked_R: NDArray[np.bool_], weights_TR: Floats) -> Floats:
    """AUC over all pairs of a liked and a not liked row, whoever's they are: ``[T]``.

    A row counts ``weights`` times, one line of weights for each bootstrap resample; a tie counts
    one half. One sort serves all resamples.
    """
    level_R = np.unique(scores_R, return_inverse=True)[1]
    order = np.argsort(level_R, kind="stable")
    first = np.flatnonzero(np.diff(level_R[order], prepend=-1))
    by_level = weights_TR[:, order]
    likes_TL = np.add.reduceat(by_level * liked_R[order], first, axis=1)
    others_TL = np.add.reduceat(by_level * ~liked_R[order], first, axis=1)
    below_TL = others_TL.cumsum(1) - 0.5 * others_TL
    won_T: Floats = (likes_TL * below_TL).sum(1) / (likes_TL.sum(1) * others_TL.sum(1))
    return won_T


def top_items(scores_BN: Tensor, support_BS: Tensor, ties_BN: Tensor, top: int = TOP) -> Tensor:
    """The best items outside the support: int64 ``[B, top]``, -1 where the catalogue ends."""
    keys_BN = ranking_keys(scores_BN, ties_BN)
    keys_BN[:, 0] = _LOWEST  # the unknown item is not for sale
    keys_BN.scatter_(1, support_BS, _LOWEST)
    best = keys_BN.topk(min(top, keys_BN.shape[1]), dim=1)
    items_BT = best.indices.masked_fill(best.values == _LOWEST, -1)
    return torch.nn.functional.pad(items_BT, (0, top - items_BT.shape[1]), value=-1)


def hits(top_BT: Tensor, likes_BL: Tensor) -> Tensor:
    """Whether each recommended item is one of the likes, 0 where padded: bool ``[B, T]``."""
    return (top_BT[:, :, None] == likes_BL[:, None, :]).any(2)


def recall(hits_BT: Tensor, n_liked_B: Tensor) -> Tensor:
    """Share of the likes that are recommended."""
    return hits_BT.sum(1).double() / n_liked_B


def truncated_recall(hits_BT: Tensor, n_liked_B: Tensor) -> Tensor:
    """Share of what a list can hold of the likes: hits over ``min(T, number of likes)``.

    Liang, Krishnan, Hoffman & Jebara 2018, section 4.2.
    """
    return hits_BT.sum(1).double() / n_liked_B.clamp(max=hits_BT.shape[1])


def binary_ndcg(hits_BT: Tensor, n_liked_B: Tensor) -> Tensor:
    """NDCG with gain 1 for a like; the ideal has them all on top."""
    weights = discounts(hits_BT.shape[1])
    best_B = weights.cumsum(0)[(n_liked_B.clamp(1, len(weights)) - 1).long()]
    gained_B = hits_BT.double() @ weights
    return torch.where(n_liked_B > 0, gained_B / best_B, torch.nan)


def reciprocal_rank(hits_BT: Tensor, n_liked_B: Tensor) -> Tensor:
    """One over the rank of the first like; 0 when none is recommended."""
    ranks = torch.arange(1, hits_BT.shape[1] + 1, dtype=torch.float64)
    return torch.where(n_liked_B > 0, (hits_BT.double() / ranks).amax(1), torch.nan)


def novelty(top_BT: Tensor, share_N: Tensor) -> Tensor:
    """Mean self-information of the recommended items, ``-log2`` of their share, in bits.

    ``share_N`` is each item's share of the historical ratings (Zhou et al. 2010, over ratings).
    """
    bits_N = -share_N.double().log2()
    return mean_of(bits_N[top_BT.clamp(min=0)], top_BT >= 0)
