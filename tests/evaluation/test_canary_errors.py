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


def test_the_least_log_loss_of_draws_by_hand(cold: EvaluationSet) -> None:
    """Of a uniform probability: mean and standard deviation 1, and n labels to be lucky with."""
    likes_BQ = (cold.ratings_BQ >= 4).float()
    clicks = replace(cold, head="click", episodes=cold.episodes._replace(targets_BQ=likes_BQ))
    frame = pd.DataFrame({"k": [5], "log_loss": [1.0]})
    (check,) = canaries.check_error("random", frame, clicks, 0.3)
    luck = math.sqrt(2 * 7 * math.log(10) / likes_BQ.numel())
    assert check.limit == pytest.approx(min(0.99 * check.expected, 1 - luck))
    assert check.limit < 0.99 * check.expected, "few labels leave more to luck than to a constant"


def test_only_metrics_that_were_measured_are_checked(cold: EvaluationSet) -> None:
    few = pd.DataFrame({"k": [5, 5], "auc": [0.5, 0.5]})
    checks = canaries.check_ranking("constant", few, cold, 61)
    assert [check.metric for check in checks] == ["auc"]


def test_lists_are_expected_of_those_who_got_one(cold: EvaluationSet) -> None:
    """Some users' catalogues were not ranked: what is expected is the mean over the others."""
    rows = pd.DataFrame({"k": [5], "list_recall@10": [0.0]})
    ranked_B = torch.arange(cold.n_users) < 3
    (check,) = canaries.check_ranking("constant", rows, replace(cold, ranked_B=ranked_B), 61)
    expected_B = canaries.random_order(cold, 5, 61)["list_recall@10"].mean_B
    assert check.expected == pytest.approx(float(expected_B[:3].nanmean()))
    assert check.expected != pytest.approx(float(expected_B.nanmean()))
    nobody = replace(cold, ranked_B=torch.zeros_like(ranked_B))
    assert canaries.check_ranking("constant", rows, nobody, 61) == []
    (alone,) = canaries.check_ranking(
        "constant", rows, replace(cold, ranked_B=ranked_B & ranked_B.cumsum(0).eq(1)), 61
    )
    assert alone.expected == pytest.approx(float(expected_B[0]))
