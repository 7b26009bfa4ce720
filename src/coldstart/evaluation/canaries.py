"""Methods that must fail, and what theory says of their scores.

``random`` and ``constant`` know nothing, so their rankings are random orders: mean and variance of
every metric follow from drawing without replacement. The observed mean over ``n`` independent users
exceeds the expected one by ``t`` with a probability of at most ``DELTA`` (Bernstein's
inequality, metrics in [0, 1]): ``t = sqrt(2 v L / n) + L / (3 n)`` with ``L = log(1 / DELTA)`` and
``v`` the mean variance. A canary above it has seen what it must not: the evaluation fails.

Shapes: B users, Q query items.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from coldstart.errors import EvaluationError
from coldstart.evaluation import formulas
from coldstart.evaluation.evaluation_set import EvaluationSet
from coldstart.evaluation.protocol import NDCG_TOP
from coldstart.evaluation.summary import Canary

DELTA = 1e-7
"""Chance of a false alarm per check; there are about a hundred in an evaluation."""


class Moments(NamedTuple):
    """Mean and variance of a metric for each user, under a random order."""

    mean_B: Tensor
    variance_B: Tensor

    def over(self, scale_B: Tensor) -> Moments:
        """Of the metric divided by ``scale_B``."""
        return Moments(self.mean_B / scale_B, self.variance_B / scale_B.square())


def weighted_draw(weights_T: Tensor, share_B: Tensor, spread_B: Tensor, size_B: Tensor) -> Moments:
    """Moments of ``sum_t weights_t x_t`` with ``x`` drawn without replacement from a population.

    ``share_B`` and ``spread_B`` are the population's mean and variance, ``size_B`` its size: with
    fewer than ``T`` the draws end there.
    """
    drawn_BT = torch.arange(len(weights_T)) < size_B[:, None]
    weights_BT = torch.where(drawn_BT, weights_T, 0.0)
    total_B, squares_B = weights_BT.sum(1), weights_BT.square().sum(1)
    pairs_B = (total_B.square() - squares_B) / (size_B - 1).clamp(min=1)
    # drawn to the end, nothing is left to chance: not even a rounding error below 0
    return Moments(share_B * total_B, spread_B * (squares_B - pairs_B).clamp(min=0))


def random_order(target: EvaluationSet, k: int, n_items: int) -> dict[str, Moments]:
    """What each ranking metric is on average when the order is random."""
    mask_BQ = target.episodes.mask_BQ
    n_B, likes_B = mask_BQ.sum(1).double(), target.liked.sum(1).double()
    others_B = n_B - likes_B
    pairs_B = likes_B * others_B
    half_B = torch.full_like(n_B, 0.5).where(pairs_B > 0, torch.nan)
    moments = {"auc": Moments(half_B, (n_B + 1) / (12 * pairs_B))}
    moments["ndcg@5"] = _graded(target, n_B)
    support_BS = target.episodes.support.first(k).items_BS
    size_B = n_items - 1.0 - (support_BS > 0).sum(1).double()
    moments |= _lists(target, support_BS, size_B)
    query = weighted_draw(
        torch.ones(formulas.TOP).double(), *_population(likes_B, size_B), size_B
    ).over(torch.where(likes_B > 0, likes_B, torch.nan))
    return moments | {"recall@10": query}


def _lists(target: EvaluationSet, support_BS: Tensor, size_B: Tensor) -> dict[str, Moments]:
    """Of the metrics of lists: right is all that a user likes outside the support."""
    hidden_BL = (target.likes_BL[:, :, None] == support_BS[:, None, :]).any(2)
    likes_B = ((target.likes_BL > 0) & ~hidden_BL).sum(1).double()
    defined_B = torch.where(likes_B > 0, likes_B, torch.nan)
    population = _population(likes_B, size_B)
    weights = formulas.discounts(formulas.TOP)
    best_B = weights.cumsum(0)[(likes_B.clamp(1, formulas.TOP) - 1).long()]
    ones = torch.ones_like(weights)
    return {
        "list_recall@10": weighted_draw(ones, *population, size_B).over(
            defined_B.clamp(max=formulas.TOP)
        ),
        "list_ndcg@10": weighted_draw(weights, *population, size_B).over(
            torch.where(likes_B > 0, best_B, torch.nan)
        ),
        "list_mrr@10": _first_hit(likes_B, size_B, torch.where(likes_B > 0, 1.0, torch.nan)),
    }


def _population(likes_B: Tensor, size_B: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of what is 1 for a like and 0 for everything else."""
    share_B = likes_B / size_B
    return share_B, share_B * (1 - share_B)


def _graded(target: EvaluationSet, n_B: Tensor) -> Moments:
    mask_BQ = target.episodes.mask_BQ
    gains_BQ = torch.where(mask_BQ, target.gains, 0.0)
    share_B = gains_BQ.sum(1) / n_B
    centred_BQ = torch.where(mask_BQ, gains_BQ - share_B[:, None], 0.0)
    top = min(NDCG_TOP, gains_BQ.shape[1])
    weights = formulas.discounts(top)
    ideal_B = gains_BQ.topk(top, dim=1)[0] @ weights
    mean_B, variance_B = weighted_draw(weights, share_B, centred_BQ.square().sum(1) / n_B, n_B)
    defined_B = ideal_B > 0  # else every order is the best
    return Moments(
        torch.where(defined_B, mean_B / ideal_B, 1.0),
        torch.where(defined_B, variance_B / ideal_B.square(), 0.0),
    )


def _first_hit(likes_B: Tensor, size_B: Tensor, undefined_B: Tensor) -> Moments:
    """The first liked item is at rank r with probability P(none before) L / (what is left)."""
    none_B, mean_B, square_B = (torch.ones_like(size_B), *torch.zeros(2, *size_B.shape).double())
    for rank in range(1, formulas.TOP + 1):
        left_B = (size_B - rank + 1).clamp(min=1)  # a like has come before the catalogue ends
        hit_B = (likes_B / left_B).clamp(0, 1)
        mean_B = mean_B + none_B * hit_B / rank
        square_B = square_B + none_B * hit_B / rank**2
        none_B = none_B * (1 - hit_B)
    return Moments(mean_B * undefined_B, (square_B - mean_B.square()) * undefined_B)


def independent_users(target: EvaluationSet, k: int) -> float:
    """Effective number of users whose orders are drawn independently by ``random``.

    It knows a user by the items of the support and attributes alone, so users who agree in both
    share one order (without attributes, everybody at K=0): ``n^2 / sum of squared group sizes``.
    """
    support = target.episodes.support.first(k)
    items_BS = support.items_BS.sort(1)[0].double()
    known = torch.hstack([items_BS, support.users_BF])
    if known.shape[1] == 0:
        return 1.0
    sizes = torch.unique(known, dim=0, return_counts=True)[1].double()
    return float(sizes.sum().square() / sizes.square().sum())


def check_ranking(
    canary: str, users: pd.DataFrame, target: EvaluationSet, n_items: int
) -> list[Canary]:
    """Compare every ranking metric of a canary with a random order's."""
    checks = []
    for k, rows in users.groupby("k"):
        for name, moments in random_order(target, int(str(k)), n_items).items():
            defined_B = ~torch.isnan(moments.mean_B)
            if name.endswith("@10"):
                defined_B &= target.ranked_B
            n = float(defined_B.sum())
            if name not in rows or n == 0:
                continue
            if canary == "random":
                n = min(n, independent_users(target, int(str(k))))
            log = math.log(1 / DELTA)
            variance = float(moments.variance_B[defined_B].mean())
            expected = float(moments.mean_B[defined_B].mean())
            limit = min(1.0, expected + math.sqrt(2 * variance * log / n) + log / (3 * n))
            value = float(rows[name].mean())
            checks.append(Canary(canary, name, int(str(k)), value, expected, limit, value <= limit))
    return checks


def check_error(
    canary: str, users: pd.DataFrame, target: EvaluationSet, spread: float = 0.0
) -> list[Canary]:
    """No prediction made without the labels has a lower error than the best single constant.

    That constant is the mean of the targets, so the floor is their standard deviation ``s`` (or,
    with likes, their entropy); 1% is left for a random canary that nearly equals it. Predictions
    drawn with the standard deviation ``spread`` d have a squared error of ``s^2 + d^2`` at least,
    less ``2 z s d / sqrt(n)`` by which they may happen to follow n ratings, with a probability of
    ``DELTA``. Where nearly all ratings are equal d is small, and luck the larger part.
    """
    if target.head == "ranking":
        return []  # a score says nothing but the order
    y = target.truth[target.episodes.mask_BQ].double()
    click = target.head == "click"
    mean = y.mean()
    entropy = -(torch.xlogy(mean, mean) + torch.xlogy(1 - mean, 1 - mean))
    floor = float(entropy if click else y.var(correction=0).sqrt())
    name = "log_loss" if click else "mse"
    checks = []
    for k, rows in users.groupby("k"):
        value = float(rows[name].mean())
        value = value if click else math.sqrt(value)
        limit = 0.99 * floor
        if spread:
            n = len(y) * independent_users(target, int(str(k))) / target.n_users
            luck = math.sqrt(2 * math.log(1 / DELTA) / n)
            drawn = floor**2 + spread**2 - 2 * luck * floor * spread
            # of a uniform probability the log loss has mean and standard deviation 1
            limit = min(limit, 1 - luck if click else math.sqrt(max(drawn, 0.0)))
        metric = "log_loss" if click else "rmse"
        checks.append(Canary(canary, metric, int(str(k)), value, floor, limit, value >= limit))
    return checks


def require(checks: list[Canary]) -> None:
    """Fail the evaluation if a canary did better than it can.

    Raises:
        EvaluationError: names each canary, metric, value and limit.
    """
    broken = [c for c in checks if not c.ok]
    if broken:
        lines = [
            f"canary {c.canary}: {c.metric} {_where(c)} is {c.value:.4f}; theory "
            f"says {c.expected:.4f} and allows no better than {c.limit:.4f}"
            for c in broken
        ]
        raise EvaluationError(
            "\n".join(lines) + "\nLabels reach a method that must not see them, or the metric is "
            "wrong; no result of this evaluation can be trusted"
        )


def _where(check: Canary) -> str:
    return "over all K" if check.k is None else f"at K={check.k}"
