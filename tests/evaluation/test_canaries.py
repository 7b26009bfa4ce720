"""The closed forms against simulation, and canaries that sing."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch

from coldstart.errors import EvaluationError
from coldstart.evaluation import canaries
from coldstart.evaluation.evaluation_set import EvaluationSet
from coldstart.evaluation.protocol import evaluate, shuffled

from .conftest import Fixed

SHOTS = (0, 5)


def repeated(target: EvaluationSet, times: int) -> EvaluationSet:
    """The same users again and again, each time with ties of their own."""
    index = torch.arange(target.n_users).repeat(times)
    seeds = torch.arange(len(index))
    return replace(
        target,
        episodes=target.episodes.rows(index),
        ratings_BQ=target.ratings_BQ[index],
        keys=tuple(target.keys[i] for i in index.tolist()),
        tie_seeds_B=seeds,
        ranked_B=torch.ones(len(index), dtype=torch.bool),
    )


def test_random_orders_score_as_the_closed_forms_say(cold: EvaluationSet) -> None:
    """A constant is ordered by its ties alone: mean and variance over 200 orders per user."""
    many = repeated(cold, 200)
    users = evaluate(Fixed(torch.full((61,), 3.5)), many, (3,), catalogue=True).users
    users["draw"] = users.groupby("user").cumcount()
    for name, moments in canaries.random_order(cold, 3, 61).items():
        found = users[name].to_numpy()
        if name == "auc":  # all tied: exactly one half, without variance
            assert set(found[~pd.isna(found)]) == {0.5}
            continue
        defined = ~torch.isnan(moments.mean_B)
        mean = float(moments.mean_B[defined].mean())
        deviation = math.sqrt(float(moments.variance_B[defined].mean()))
        n = int(defined.sum()) * 200
        assert users[name].mean() == pytest.approx(mean, abs=4.5 * deviation / math.sqrt(n)), name
        spread = users.groupby("user")[name].var().mean()
        assert spread == pytest.approx(deviation**2, rel=0.1), name


def test_the_variance_of_a_random_auc_is_the_rank_sum_test_s(cold: EvaluationSet) -> None:
    moments = canaries.random_order(cold, 0, 61)["auc"]
    liked = (cold.ratings_BQ[0] >= 4).sum().item()
    n = cold.ratings_BQ.shape[1]
    if 0 < liked < n:
        assert moments.variance_B[0].item() == pytest.approx((n + 1) / (12 * liked * (n - liked)))


def test_a_constant_passes(cold: EvaluationSet) -> None:
    method = Fixed(torch.full((61,), 3.5))
    users = evaluate(method, cold, SHOTS, catalogue=True).users
    checks = canaries.check_ranking("constant", users, cold, 61)
    checks += canaries.check_error("constant", users, cold)
    assert len(checks) == len(SHOTS) * 6
    assert all(check.ok for check in checks)
    canaries.require(checks)


def test_a_random_method_that_sees_the_labels_is_caught(cold: EvaluationSet) -> None:
    """Scores follow the query's own ratings: every ranking metric is too good to be chance."""
    many = repeated(cold, 5)
    users = pd.concat(
        [
            evaluate(Fixed(_peeking(many, u)), many.rows(slice(u, u + 1)), (5,), catalogue=True)[0]
            for u in range(many.n_users)
        ]
    )
    checks = canaries.check_ranking("constant", users, many, 61)
    caught = {check.metric for check in checks if not check.ok}
    assert {"auc", "ndcg@5", "recall@10", "ndcg@10", "mrr@10"} == caught
    with pytest.raises(EvaluationError, match="canary constant: auc at K=5") as told:
        canaries.require(checks)
    assert "theory says 0.5000" in str(told.value)


def _peeking(target: EvaluationSet, user: int) -> torch.Tensor:
    scores_N = torch.zeros(61)
    scores_N[target.episodes.items_BQ[user]] = target.ratings_BQ[user]
    return scores_N


def test_an_error_below_the_best_constant_is_caught(cold: EvaluationSet) -> None:
    exact = pd.DataFrame({"k": [0], "mse": [0.9 * float(cold.ratings_BQ.var(correction=0))]})
    (check,) = canaries.check_error("random", exact, cold)
    assert not check.ok
    assert check.metric == "rmse"
    assert check.expected == pytest.approx(float(cold.ratings_BQ.double().std(correction=0)))


def test_labels_of_others_do_not_help(cold: EvaluationSet, item_means: torch.Tensor) -> None:
    method = Fixed(item_means, adapts=True)
    honest = evaluate(method, cold, SHOTS, catalogue=False).users
    fooled = evaluate(method, shuffled(cold, 0), SHOTS, catalogue=False).users
    (check,) = canaries.check_shuffled("fixed", fooled, honest, "mse")
    assert check.ok
    assert check.k == 5


def test_labels_that_help_although_shuffled_are_caught(cold: EvaluationSet) -> None:
    n = cold.n_users
    honest = pd.DataFrame({"user": range(n), "k": 0, "mse": 1.0})
    better = pd.Series(0.9, index=range(n)) + 0.01 * pd.Series(range(n)) / n
    fooled = pd.DataFrame({"user": range(n), "k": 5, "mse": better})
    checks = canaries.check_shuffled("fixed", fooled, honest, "mse")
    with pytest.raises(EvaluationError, match=r"shuffled labels \(fixed\)"):
        canaries.require(checks)


def test_users_that_look_alike_count_once(cold: EvaluationSet) -> None:
    """``random`` knows a user by support and attributes; without either, all share one order."""
    support = cold.episodes.support
    blank = cold.episodes._replace(support=support._replace(users_BF=support.users_BF[:, :0]))
    alike = replace(cold, episodes=blank)
    assert canaries.independent_users(alike, 0) == 1
    assert canaries.independent_users(alike, 5) == pytest.approx(cold.n_users)
