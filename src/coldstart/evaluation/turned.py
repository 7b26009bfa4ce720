"""What share of ratings looks turned round, by a method that knows the users.

Each rating ``y`` is as predicted with probability ``1 - e``, and with ``e`` its mirror image on the
scale is. Given the density ``f`` of the prediction, ``e`` maximises the likelihood of the mixture
``(1 - e) f(y) + e f(mirror(y))``. Honest people contradict any prediction now and then, so the
share is read beside that of users of whom nothing bad is known. The mirror image of a rating in the
middle of the scale is itself: it says nothing.

How exact users are differs more than this share does, which is why it notices a smaller share than
a mean error would.

Shapes: B users, Q ratings of each.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from coldstart.data.episodes import Episodes
from coldstart.data.units import Unit
from coldstart.models.recommender import Recommender

FARTHEST = 20.0
"""Largest log-likelihood ratio of one rating."""
HALVINGS = 50


class Turned(NamedTuple):
    """An estimate with its standard error, in which a user's ratings stand or fall together."""

    share: float
    error: float
    n_users: int
    variance: float  # of a rating around its prediction, rating points squared; 0 for likes


def turned_share(
    method: Recommender,
    episodes: Episodes,
    unit: Unit,
    scale: tuple[float, float] | None,
    variance: float | None = None,
) -> Turned:
    """Estimate it on the queries.

    Args:
        method: reads and predicts targets in ``unit``.
        episodes: users who are new to it, with the ratings to be judged as the query.
        unit: of the targets.
        scale: lowest and highest rating; None where targets are likes.
        variance: of a rating around its prediction; None: the mean over these users.
    """
    with torch.no_grad():
        mean_BQ = method.score(method.adapt(episodes.support), episodes.items_BQ).mean
    mask_BQ, targets_BQ = episodes.mask_BQ, episodes.targets_BQ.double()
    if scale is None:
        likely_BQ = mean_BQ.double().clamp(1e-9, 1 - 1e-9)
        return estimate((1 - 2 * targets_BQ) * likely_BQ.logit(), mask_BQ, 0.0)
    predicted_BQ, ratings_BQ = unit.outside(mean_BQ), unit.outside(targets_BQ)
    if variance is None:
        variance = float(episodes.mean_over_users((predicted_BQ - ratings_BQ).square()))
    total = sum(scale)
    # ((y - p)^2 - (total - y - p)^2) / 2v
    ratio_BQ = (2 * ratings_BQ - total) * (total - 2 * predicted_BQ) / (2 * max(variance, 1e-12))
    return estimate(ratio_BQ, mask_BQ, variance)


def estimate(ratio_BQ: Tensor, mask_BQ: Tensor, variance: float) -> Turned:
    """Maximum likelihood from the logarithms of ``f(mirror(y)) / f(y)``.

    The derivative of the log-likelihood falls in ``e``, so its root is found by halving. The error
    is that of an M-estimator with users as clusters (Huber 1967).
    """
    gain_BQ = (ratio_BQ.double().clamp(-FARTHEST, FARTHEST).exp() - 1).masked_fill(~mask_BQ, 0.0)
    low, high = 0.0, 1.0
    if float(gain_BQ.sum()) > 0:
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            rises = float((gain_BQ / (1 + middle * gain_BQ)).sum()) > 0
            low, high = (middle, high) if rises else (low, middle)
    score_BQ = gain_BQ / (1 + low * gain_BQ)
    information = float(score_BQ.square().sum())
    spread = math.sqrt(float(score_BQ.sum(1).square().sum()))
    error = spread / information if information else math.inf
    return Turned(low, error, int(mask_BQ.any(1).sum()), variance)
