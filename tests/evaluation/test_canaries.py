"""The closed forms against simulation, and canaries that sing."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import pandas as pd
import pytest
import torch

from coldstart.errors import EvaluationError
from coldstart.evaluation import canaries
from coldstart.evaluation.evaluation_set import Catalogue, EvaluationSet
from coldstart.evaluation.protocol import evaluate

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
        likes_BL=target.likes_BL[index],
        left_out_BX=target.left_out_BX[index],
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
    assert len(checks) == len(SHOTS) * 7
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
    assert {"auc", "ndcg@5", "recall@10", "list_recall@10", "list_ndcg@10", "list_mrr@10"} == caught
    with pytest.raises(EvaluationError, match="canary constant: auc at K=5") as told:
        canaries.require(checks)
    assert "theory says 0.5000" in str(told.value)


def _peeking(target: EvaluationSet, user: int) -> torch.Tensor:
    scores_N = torch.zeros(61)
    scores_N[target.episodes.items_BQ[user]] = target.ratings_BQ[user].float()
    return scores_N


def of_few_items(target: EvaluationSet, known: int) -> EvaluationSet:
    """Two users of ``known`` items with supports of 3: one likes 2 of 4 query items, one all."""
    episodes = target.rows(slice(0, 2)).episodes
    support = episodes.support.first(3)._replace(items_BS=torch.tensor([[1, 2, 3], [2, 3, 4]]))
    items_BQ = torch.tensor([[4, 5, 6, 7], [1, 5, 6, 7]])
    ratings_BQ = torch.tensor([[5.0, 4.0, 2.0, 1.0], [5.0, 5.0, 4.0, 4.0]])
    episodes = episodes._replace(
        support=support, items_BQ=items_BQ, targets_BQ=ratings_BQ, mask_BQ=items_BQ > 0
    )
    assert known >= 7
    few = target.rows(slice(0, 2))
    likes_BL = torch.tensor([[1, 4, 5, 0, 0], [1, 2, 5, 6, 7]])  # one of each is in the support
    catalogue = Catalogue(*(part[: 1 + known] for part in target.catalogue))
    return replace(
        few, episodes=episodes, ratings_BQ=ratings_BQ, likes_BL=likes_BL, catalogue=catalogue
    )


def test_the_moments_of_a_catalogue_shorter_than_the_list(cold: EvaluationSet) -> None:
    """Seven items less three in the support: all four are recommended, whatever the order.

    So recall is 1 and has no variance. Of two likes among four items the first is at rank 1, 2 or 3
    with probabilities 1/2, 1/3 and 1/6; NDCG is the mean over the six pairs of their ranks.
    """
    moments = canaries.random_order(of_few_items(cold, 7), 3, 8)
    recall, mrr, ndcg = (
        moments[name] for name in ("list_recall@10", "list_mrr@10", "list_ndcg@10")
    )
    assert recall.mean_B.tolist() == pytest.approx([1, 1])
    assert recall.variance_B.tolist() == pytest.approx([0, 0])
    assert mrr.mean_B.tolist() == pytest.approx([1 / 2 + 1 / 6 + 1 / 18, 1])
    square = 1 / 2 + 1 / 12 + 1 / 54
    assert mrr.variance_B.tolist() == pytest.approx([square - (13 / 18) ** 2, 0])
    gains = [1 / math.log2(1 + rank) for rank in (1, 2, 3, 4)]
    pairs = torch.tensor([a + b for a, b in combinations(gains, 2)]) / sum(gains[:2])
    assert ndcg.mean_B.tolist() == pytest.approx([float(pairs.mean()), 1])
    assert ndcg.variance_B.tolist() == pytest.approx([float(pairs.var(correction=0)), 0], abs=1e-7)


def test_one_like_is_at_every_rank_with_the_same_chance(cold: EvaluationSet) -> None:
    """Among 17 items, of which ten are shown."""
    target = replace(of_few_items(cold, 20), likes_BL=torch.tensor([[4, 0], [5, 0]]))
    moments = canaries.random_order(target, 3, 21)
    inverse = [1 / rank for rank in range(1, 11)]
    gains = [1 / math.log2(1 + rank) for rank in range(1, 11)]
    for name, of_ranks in (
        ("list_recall@10", [1.0] * 10),
        ("list_mrr@10", inverse),
        ("list_ndcg@10", gains),
    ):
        mean, square = sum(of_ranks) / 17, sum(value**2 for value in of_ranks) / 17
        assert moments[name].mean_B.tolist() == pytest.approx([mean] * 2), name
        assert moments[name].variance_B.tolist() == pytest.approx([square - mean**2] * 2), name


def test_padding_changes_no_moment(cold: EvaluationSet) -> None:
    def longer(field: torch.Tensor, value: float) -> torch.Tensor:
        return torch.nn.functional.pad(field, (0, 3), value=value)

    episodes = cold.episodes._replace(
        items_BQ=longer(cold.episodes.items_BQ, 0),
        targets_BQ=longer(cold.episodes.targets_BQ, 9.0),
        mask_BQ=longer(cold.episodes.mask_BQ, False),
    )
    padded = replace(cold, episodes=episodes, ratings_BQ=longer(cold.ratings_BQ, 5.0))
    for name, moments in canaries.random_order(padded, 3, 61).items():
        for found, own in zip(moments, canaries.random_order(cold, 3, 61)[name], strict=True):
            torch.testing.assert_close(found, own, equal_nan=True, msg=name)


def test_where_nothing_gains_every_order_is_the_best(cold: EvaluationSet) -> None:
    lowest = replace(cold, ratings_BQ=torch.ones_like(cold.ratings_BQ))
    mean_B, variance_B = canaries.random_order(lowest, 3, 61)["ndcg@5"]
    assert set(mean_B.tolist()) == {1}
    assert set(variance_B.tolist()) == {0}


def test_the_only_gain_is_at_every_rank_of_the_query_with_the_same_chance(
    cold: EvaluationSet,
) -> None:
    """Of five items one is rated 2, which gains 1, and the others 1, which gains nothing."""
    ratings_BQ = torch.ones_like(cold.ratings_BQ)
    ratings_BQ[:, 0] = 2
    found = canaries.random_order(replace(cold, ratings_BQ=ratings_BQ), 3, 61)["ndcg@5"]
    discounts = [1 / math.log2(1 + rank) for rank in range(1, 6)]
    mean, square = sum(discounts) / 5, sum(value**2 for value in discounts) / 5
    assert found.mean_B[0].item() == pytest.approx(mean)
    assert found.variance_B[0].item() == pytest.approx(square - mean**2)


@pytest.mark.parametrize("known", [7, 8, 12, 13, 14])
def test_a_canary_passes_on_a_small_catalogue(cold: EvaluationSet, known: int) -> None:
    target = of_few_items(cold, known)
    method = Fixed(torch.full((1 + known,), 3.5))
    users = evaluate(method, target, (0, 1, 3), catalogue=True).users
    checks = canaries.check_ranking("constant", users, target, 1 + known)
    for name in ("recall@10", "list_recall@10"):
        assert {check.k for check in checks if check.metric == name} == {0, 1, 3}
    assert all(check.ok for check in checks)


def test_drawing_everything_leaves_nothing_to_chance() -> None:
    one, ones = torch.ones(1).double(), torch.ones(10).double()
    for size in (2, 10):
        found = canaries.weighted_draw(ones, 0.3 * one, 0.21 * one, size * one)
        assert found.mean_B.tolist() == pytest.approx([0.3 * size])
        assert found.variance_B.tolist() == pytest.approx([0])
    only = canaries.weighted_draw(ones, one, 0 * one, one)
    assert (only.mean_B.item(), only.variance_B.item()) == (1, 0)


def test_the_limit_is_bernstein_s(cold: EvaluationSet) -> None:
    """A chance of 1e-7, by hand for the AUC: every user's own variance, averaged."""
    many = repeated(cold, 20)
    users = evaluate(Fixed(torch.full((61,), 3.5)), many, (5,), catalogue=True).users
    checks = {check.metric: check for check in canaries.check_ranking("constant", users, many, 61)}
    n_query = cold.ratings_BQ.shape[1]
    likes = (many.ratings_BQ >= 4).sum(1).tolist()
    variances = [
        (n_query + 1) / (12 * liked * (n_query - liked)) for liked in likes if 0 < liked < n_query
    ]
    n, log = len(variances), 7 * math.log(10)
    beyond = math.sqrt(2 * sum(variances) / n * log / n) + log / (3 * n)
    assert checks["auc"].limit == pytest.approx(0.5 + beyond)
    assert checks["auc"].limit < 0.7
    for metric, check in checks.items():
        assert check.expected < check.limit < 1, metric
        found = users[metric].mean() if metric == "auc" else check.value
        assert check.value == pytest.approx(found)


def test_random_counts_the_users_it_can_tell_apart(cold: EvaluationSet) -> None:
    """Without attributes everybody has the same order at K=0, which may be any."""
    support = cold.episodes.support
    blank = cold.episodes._replace(support=support._replace(users_BF=support.users_BF[:, :0]))
    alike = repeated(replace(cold, episodes=blank), 20)
    users = evaluate(Fixed(torch.full((61,), 3.5)), alike, (0,), catalogue=True).users
    told = {
        check.metric: check.limit for check in canaries.check_ranking("random", users, alike, 61)
    }
    assert told["auc"] == 1
    constant = {c.metric: c.limit for c in canaries.check_ranking("constant", users, alike, 61)}
    assert constant["auc"] < 0.7


def test_users_that_look_alike_count_once(cold: EvaluationSet) -> None:
    """``random`` knows a user by support and attributes; without either, all share one order."""
    support = cold.episodes.support
    blank = cold.episodes._replace(support=support._replace(users_BF=support.users_BF[:, :0]))
    alike = replace(cold, episodes=blank)
    assert canaries.independent_users(alike, 0) == 1
    assert canaries.independent_users(alike, 5) == pytest.approx(cold.n_users)
