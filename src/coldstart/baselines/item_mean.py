"""Baseline ``item_mean``: each item's mean target, shrunk to the global mean; nothing to tune."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from coldstart.baselines._base import Empty
from coldstart.baselines._item_scores import ItemScores
from coldstart.data.choices import Chooser
from coldstart.data.episodes import History
from coldstart.models.backbone import Backbone


@dataclass(frozen=True)
class ItemMean(ItemScores):
    """``mean + n_i between / (n_i between + within) (mean_i - mean)``; a cold item gets the mean.

    Empirical Bayes: the damping ``within / between`` is estimated from the historical ratings, by
    :func:`variance_components`, so that no parameter is left to choose.
    """

    kind: ClassVar[str] = "item_mean"

    @classmethod
    def fit(
        cls, history: History, backbone: Backbone, validation: Chooser, params: Empty, seed: int
    ) -> Self:
        """Average, and shrink by the two variances."""
        targets_R = history.targets_R.double()
        within, between = variance_components(history.items_R, targets_R)
        mean = targets_R.mean()
        count_N = torch.bincount(history.items_R, minlength=history.n_items)
        above_N = torch.bincount(history.items_R, targets_R - mean, minlength=history.n_items)
        damped_N = count_N * between + within
        return cls((mean + torch.where(damped_N > 0, between * above_N / damped_N, 0.0)).float())


def variance_components(items_R: Tensor, targets_R: Tensor) -> tuple[float, float]:
    """Variance within items and between items, in squared target units.

    The analysis of variance of the unbalanced one-way random-effects model ``y = mu + a_i + e``
    (Searle, Casella & McCulloch 1992, section 3.6). Where nothing tells the items from noise (a
    single item, no item with two ratings, or less between items than noise explains) the variance
    between is 0.
    """
    count_N = torch.bincount(items_R)
    rated = count_N > 0
    count_N = count_N[rated].double()
    mean_N = torch.bincount(items_R, targets_R)[rated] / count_N
    n, n_items = len(targets_R), len(count_N)
    total = float((targets_R - targets_R.mean()).square().sum())
    among = float((count_N * (mean_N - targets_R.mean()).square()).sum())
    if n_items < 2 or n == n_items:
        return total / max(n - 1, 1), 0.0
    within = (total - among) / (n - n_items)
    size = (n - float(count_N.square().sum()) / n) / (n_items - 1)  # ratings of a typical item
    return max(within, 0.0), max(0.0, (among / (n_items - 1) - within) / size)
