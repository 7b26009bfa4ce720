"""Errors that no canary can have: below the best constant, or below that of lucky draws."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch

from coldstart.evaluation import canaries
from coldstart.evaluation.evaluation_set import EvaluationSet


def test_an_error_below_the_best_constant_is_caught(cold: EvaluationSet) -> None:
    exact = pd.DataFrame({"k": [0], "mse": [0.9 * float(cold.ratings_BQ.var(correction=0))]})
    (check,) = canaries.check_error("random", exact, cold)
    assert not check.ok
    assert check.metric == "rmse"
    assert check.expected == pytest.approx(float(cold.ratings_BQ.double().std(correction=0)))


def test_the_least_error_of_draws_by_hand(cold: EvaluationSet) -> None:
    """A tenth of the ratings' spread s adds .01 s^2, luck takes .2 s^2 sqrt(2 log(1e7) / n)."""
    s, n = float(cold.ratings_BQ.std(correction=0)), cold.ratings_BQ.numel()
    rows = pd.DataFrame({"k": [5], "mse": [s**2]})
    (check,) = canaries.check_error("random", rows, cold, 0.1 * s)
    luck = math.sqrt(2 * 7 * math.log(10) / n)
    assert check.limit == pytest.approx(s * math.sqrt(1 + 0.01 - 0.2 * luck))
    assert check.limit < 0.99 * s


def test_luck_is_left_to_draws_of_little_spread(cold: EvaluationSet) -> None:
    """20,000 canaries that are drawn around the mean with a tenth of the ratings' spread.

    Their best error is below .99 of the floor, which no canary with the labels' help stays above.
    """
    y = cold.ratings_BQ.flatten()
    floor, spread = float(y.std(correction=0)), 0.1 * float(y.std(correction=0))
    generator = torch.Generator().manual_seed(0)
    drawn = spread * torch.randn(20_000, len(y), generator=generator).double()
    best = float((y.mean() + drawn - y).square().mean(1).min().sqrt())
    helped = float((0.7 * (y - y.mean())).square().mean().sqrt())
    everybody = cold.rows(torch.arange(cold.n_users))
    found = [
        canaries.check_error("random", pd.DataFrame({"k": [5], "mse": [e**2]}), everybody, s)[0].ok
        for e in (best, helped)
        for s in (0.0, spread)
    ]
    assert best < 0.99 * floor
    assert found == [False, True, False, False]


def test_a_log_loss_below_the_entropy_is_caught(cold: EvaluationSet) -> None:
    likes_BQ = (cold.ratings_BQ >= 4).float()
    clicks = replace(cold, head="click", episodes=cold.episodes._replace(targets_BQ=likes_BQ))
    share = float(likes_BQ.double().mean())
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    for loss, ok in ((0.995 * entropy, True), (0.985 * entropy, False)):
        frame = pd.DataFrame({"k": [0], "log_loss": [loss]})
        (check,) = canaries.check_error("random", frame, clicks)
        assert (check.metric, check.ok) == ("log_loss", ok)
        assert check.expected == pytest.approx(entropy)
        assert check.limit == pytest.approx(0.99 * entropy)
        limit = pd.DataFrame({"k": [0], "log_loss": [check.limit]})
        assert canaries.check_error("random", limit, clicks)[0].ok
    assert canaries.check_error("random", frame, replace(cold, head="ranking")) == []
