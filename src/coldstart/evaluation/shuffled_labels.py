"""The canary of shuffled labels: what others said must not help, whatever the method.

The support labels of users are passed on in a random circle, so each user has the ratings of
somebody else. Wrong labels do harm, so a gain over no support at all would hide a leak: with a
quarter of the labels true a good method still does worse than at K=0. What they are compared with
is labels passed on twice, which do the same harm on the same items: as long as no label is a
user's own, once and twice are exchangeable, and their mean difference is 0 for every method and
metric. A share of true labels moves it by about that share of what honest labels gain.

Shapes: B users, S support.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from scipy import stats

from coldstart.evaluation.evaluation_set import EvaluationSet
from coldstart.evaluation.metrics import Metric
from coldstart.evaluation.protocol import evaluate
from coldstart.evaluation.summary import Canary
from coldstart.models.recommender import Recommender

SHUFFLES = 16
"""Circles that are averaged for each user: the noise of wrong labels falls with their root."""
FALSE_ALARM = 1e-3
"""Chance that labels without a leak seem to help; the standard error errs on the safe side."""
MISSED = 0.05
"""Chance that a leak of the share that the canary is said to notice goes unnoticed."""
_DIGITS = 9
"""What is left of a gain of 0 after adding up in another order is not a gain."""
_FEWEST = 3
"""Users; among two, labels that are passed on twice come back."""


def shuffled(target: EvaluationSet, seed: int) -> EvaluationSet:
    """The same users, each with the support labels of another: nobody keeps their own."""
    return _passed_on(target, seed)


def _passed_on(target: EvaluationSet, seed: int) -> EvaluationSet:
    """Everybody's labels go to the next user in a random circle, the same for a seed."""
    order = np.random.default_rng(seed).permutation(target.n_users)
    donor = np.empty_like(order)
    donor[order] = np.roll(order, 1)
    support = target.episodes.support
    support = support._replace(targets_BS=support.targets_BS[torch.from_numpy(donor)])
    return replace(target, episodes=target.episodes._replace(support=support))


def shuffled_gains(
    model: Recommender, target: EvaluationSet, shots: Sequence[int], of: Metric, seed: int
) -> pd.DataFrame:
    """What labels gain for each user over labels passed on twice, averaged over all K > 0.

    Args:
        model: the method.
        target: whose labels are shuffled.
        shots: support sizes.
        of: a metric; the gain is in the unit of its per-user column, more is better.
        seed: of the circles.

    Returns:
        ``user, honest, shuffled``: the gain of their own labels, and of those passed on once.
        Nobody with fewer than three users.
    """
    shots = [k for k in shots if k > 0]
    if target.n_users < _FEWEST or not shots:
        return pd.DataFrame({"user": [], "honest": [], "shuffled": []}, dtype=float)

    def worth(labelled: EvaluationSet) -> pd.Series:
        users = evaluate(model, labelled, shots, catalogue=of.kind == "list").users
        return of.sign * users.groupby("user")[of.per_user_column].mean()

    once, twice = [], []
    for circle in np.random.default_rng(seed).integers(2**32, size=SHUFFLES).tolist():
        passed_on = shuffled(target, circle)
        once.append(worth(passed_on))
        twice.append(worth(_passed_on(passed_on, circle)))
    wrong = sum(twice) / SHUFFLES
    gains = {"honest": worth(target) - wrong, "shuffled": sum(once) / SHUFFLES - wrong}
    return pd.DataFrame(gains).round(_DIGITS).reset_index()


def check_shuffled(method: str, gains: pd.DataFrame, of: Metric) -> Canary:
    """Shuffled labels must not gain more than chance allows, by a one-sided t test over users.

    Where the interval of the honest gain includes 0 there is nothing that a leak could give: the
    check passes and says that it has no power. Else it says what it would have noticed: passing is
    evidence against any leak of that share of the labels or more (an equivalence test).

    Args:
        method: whose gains they are.
        gains: of :func:`shuffled_gains`, of all folds; a user may be in several.
        of: what they are gains in.
    """
    mean = gains.dropna().groupby("user")[["honest", "shuffled"]].mean()
    name, metric, degrees = (
        f"shuffled labels ({method})",
        f"{of.per_user_column} gain",
        len(mean) - 1,
    )
    if degrees < 1:
        return Canary(name, metric, None, 0.0, 0.0, 0.0, True, "no power: too few users")
    honest, gain = (float(value) for value in mean.mean())
    honest_error, error = (float(value) for value in mean.sem())
    limit = error * _quantile(1 - FALSE_ALARM, degrees)
    if not honest > honest_error * _quantile(0.975, degrees):
        note = "no power: what honest labels gain is not told from 0"
        return Canary(name, metric, None, gain, 0.0, limit, True, note)
    notices = (limit + error * _quantile(1 - MISSED, degrees)) / honest
    note = f"honest labels gain {honest:.4f}; notices if {notices:.0%} of the labels are true"
    return Canary(name, metric, None, gain, 0.0, limit, gain <= limit, note)


def _quantile(probability: float, degrees: int) -> float:
    return float(stats.t.ppf(probability, degrees))
