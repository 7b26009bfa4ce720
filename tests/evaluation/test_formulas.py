"""Every metric by hand, and against a loop that nobody could misread."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from coldstart.errors import EvaluationError
from coldstart.evaluation import formulas

NO_TIES = torch.zeros(1, 20, dtype=torch.int64)


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values])


def mask(n: int) -> torch.Tensor:
    return torch.ones(1, n, dtype=torch.bool)


def test_errors_by_hand() -> None:
    predictions, targets = row(3, 4, 1), row(5, 4, 2)
    assert formulas.squared_error(predictions, targets, mask(3)).item() == pytest.approx(5 / 3)
    assert formulas.absolute_error(predictions, targets, mask(3)).item() == pytest.approx(1)


def test_padding_does_not_count() -> None:
    seen = torch.tensor([[True, True, False], [False, False, False]])
    predictions, targets = row(3, 4, 99).expand(2, 3), row(5, 4, 2).expand(2, 3)
    found = formulas.squared_error(predictions, targets, seen)
    assert found[0].item() == pytest.approx(2)
    assert math.isnan(found[1].item())


def test_padding_changes_no_order() -> None:
    """Of two items the worse is on top."""
    seen = torch.tensor([[True, True, False, False]])
    scores, gains = row(2, 1, 9, 0), row(1, 3, 15, 15)
    found = formulas.graded_ndcg(scores, gains, seen, NO_TIES[:, :4], 5)
    second = 1 / math.log2(3)
    assert found.item() == pytest.approx((1 + 3 * second) / (3 + 1 * second))
    liked = torch.tensor([[True, False, False, True]])
    assert formulas.auc(scores, liked, seen).item() == 1


def test_log_loss_by_hand() -> None:
    found = formulas.log_loss(row(0.8, 0.4), row(1, 0), mask(2))
    assert found.item() == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2, rel=1e-6)


def test_gaussian_nll_by_hand() -> None:
    found = formulas.gaussian_nll(row(3), row(4), row(5), mask(1))
    assert found.item() == pytest.approx(0.5 * (4 / 4 + math.log(2 * math.pi * 4)))


@pytest.mark.parametrize(("level", "half"), [(0.5, 0.674490), (0.8, 1.281552), (0.95, 1.959964)])
def test_intervals_end_where_the_normal_says(level: float, half: float) -> None:
    """Of a variance of 4, so twice as far out as those of a unit normal."""
    errors = row(2 * half - 1e-4, 2 * half + 1e-4, -2 * half + 1e-4, -2 * half - 1e-4)
    mean = row(3, 3, 3, 3)
    found = formulas.covered(mean, 0 * mean + 4, mean + errors, mask(4), level)
    assert found.item() == 0.5


def test_a_list_is_of_ten() -> None:
    """As the names of its metrics say."""
    assert formulas.TOP == 10
    assert formulas.top_items(row(*range(20)), row(0).long(), NO_TIES).shape == (1, 10)


def test_graded_ndcg_by_hand() -> None:
    """Gains 7, 1, 31 in the predicted order; the ideal is 31, 7, 1."""
    found = formulas.graded_ndcg(row(3, 2, 1), row(7, 1, 31), mask(3), NO_TIES[:, :3], 5)
    predicted = 7 + 1 / math.log2(3) + 31 / 2
    ideal = 31 + 7 / math.log2(3) + 1 / 2
    assert found.item() == pytest.approx(predicted / ideal)


def test_graded_ndcg_is_cut_at_the_top() -> None:
    found = formulas.graded_ndcg(row(3, 2, 1), row(7, 1, 31), mask(3), NO_TIES[:, :3], 1)
    assert found.item() == pytest.approx(7 / 31)


def test_gains_follow_the_place_on_the_scale() -> None:
    """The five even steps of any scale gain the same; what lies outside gains what its end does."""
    steps = [0.0, 1.0, 3.0, 7.0, 15.0]
    assert formulas.gains(row(1, 2, 3, 4, 5), 1, 5)[0].tolist() == steps
    assert formulas.gains(row(-10, -5, 0, 5, 10), -10, 10)[0].tolist() == steps
    assert formulas.gains(row(0, 1e6), 0, 1e6)[0].tolist() == [0.0, 15.0]
    assert formulas.gains(row(-3, 9), 1, 5)[0].tolist() == [0.0, 15.0]


@pytest.mark.parametrize(
    ("ratings", "scale"),
    [((-1, -2, -3), (-10, 10)), ((1, -4, -6), (-6, 1)), ((1500, 1200, 3), (0, 2000))],
)
def test_graded_ndcg_is_one_for_the_best_order_and_less_for_the_worst(
    ratings: tuple[float, ...], scale: tuple[float, float]
) -> None:
    gains = formulas.gains(row(*ratings), *scale)
    best = formulas.graded_ndcg(row(3, 2, 1), gains, mask(3), NO_TIES[:, :3], 5)
    worst = formulas.graded_ndcg(row(1, 2, 3), gains, mask(3), NO_TIES[:, :3], 5)
    assert best.item() == 1
    assert 0 < worst.item() < 1


def test_discounts_by_hand() -> None:
    assert formulas.discounts(4).tolist() == [1, 1 / math.log2(3), 1 / 2, 1 / math.log2(5)]


def test_a_small_gain_is_a_gain() -> None:
    """The worse of two of less than one in all is on top."""
    gains = row(0.25, 0.5)
    found = formulas.graded_ndcg(row(2, 1), gains, mask(2), NO_TIES[:, :2], 5)
    at_2 = 1 / math.log2(3)
    assert found.item() == pytest.approx((0.25 + 0.5 * at_2) / (0.5 + 0.25 * at_2))


def test_where_nothing_gains_any_order_is_the_best() -> None:
    found = formulas.graded_ndcg(row(1, 2), row(0, 0), mask(2), NO_TIES[:, :2], 5)
    assert found.item() == 1


def test_equal_scores_are_ordered_by_their_ties() -> None:
    for ties, first in ((row(1, 0).long(), 31), (row(0, 1).long(), 1)):
        found = formulas.graded_ndcg(row(2, 2), row(31, 1), mask(2), ties, 1)
        assert found.item() == pytest.approx(first / 31)


def test_auc_by_hand() -> None:
    """Liked scores 5 and 2 against 3 and 2: three wins of four pairs, with a tie as one half."""
    liked = torch.tensor([[True, True, False, False]])
    found = formulas.auc(row(5, 2, 3, 2), liked, mask(4))
    assert found.item() == pytest.approx((1 + 1 + 0 + 0.5) / 4)


@pytest.mark.parametrize("liked", [[True, True], [False, False]])
def test_auc_is_undefined_without_both_kinds(liked: list[bool]) -> None:
    assert math.isnan(formulas.auc(row(1, 2), torch.tensor([liked]), mask(2)).item())


def test_the_support_and_the_unknown_item_are_never_recommended() -> None:
    scores = row(99, 1, 5, 4, 3)
    top = formulas.top_items(scores, torch.tensor([[2, 0]]), NO_TIES[:, :5], 2)
    assert top.tolist() == [[3, 4]]


def test_a_list_longer_than_the_catalogue_is_padded() -> None:
    top = formulas.top_items(row(99, 1, 5), torch.tensor([[2]]), NO_TIES[:, :3], 4)
    assert top.tolist() == [[1, -1, -1, -1]]


def test_catalogue_metrics_by_hand() -> None:
    """Recommended 7, 3, 9; liked 3, 9, 4, 5 and disliked 7."""
    items = torch.tensor([[3, 9, 4, 5, 7]])
    liked = torch.tensor([[True, True, True, True, False]])
    hits = formulas.hits(torch.tensor([[7, 3, 9]]), items.masked_fill(~liked, 0))
    assert hits.tolist() == [[False, True, True]]
    n_liked = liked.sum(1)
    assert formulas.truncated_recall(hits, n_liked).item() == pytest.approx(2 / 3)  # of three
    assert formulas.recall(hits, n_liked).item() == pytest.approx(2 / 4)
    assert formulas.reciprocal_rank(hits, n_liked).item() == pytest.approx(1 / 2)
    gained, ideal = 1 / math.log2(3) + 1 / 2, 1 + 1 / math.log2(3) + 1 / 2
    assert formulas.binary_ndcg(hits, n_liked).item() == pytest.approx(gained / ideal)


def test_catalogue_metrics_are_undefined_without_a_like() -> None:
    hits, none = torch.zeros(1, 3, dtype=torch.bool), torch.tensor([0])
    for metric in (
        formulas.recall,
        formulas.truncated_recall,
        formulas.binary_ndcg,
        formulas.reciprocal_rank,
    ):
        assert math.isnan(metric(hits, none).item())


def test_novelty_by_hand() -> None:
    share = torch.tensor([0.5, 0.25, 0.125, 0.125])
    found = formulas.novelty(torch.tensor([[1, 2, -1]]), share)
    assert found.item() == pytest.approx((2 + 3) / 2)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_no_number_fails(bad: float) -> None:
    with pytest.raises(EvaluationError, match="NaN or infinite"):
        formulas.ranking_keys(row(1, bad), NO_TIES[:, :2])


def test_negative_zero_equals_zero() -> None:
    keys = formulas.ranking_keys(row(-0.0, 0.0), NO_TIES[:, :2])
    assert keys[0, 0] == keys[0, 1]


FLOATS = st.floats(-(2.0**90), 2.0**90, width=32, allow_subnormal=False)


@given(st.lists(st.tuples(FLOATS, st.integers(0, 2**31 - 1)), min_size=2, max_size=30))
def test_keys_sort_like_score_then_tie(pairs: list[tuple[float, int]]) -> None:
    scores = torch.tensor([[s for s, _ in pairs]])
    ties = torch.tensor([[t for _, t in pairs]])
    keys = formulas.ranking_keys(scores, ties)[0].tolist()
    exact = [(s + 0.0, t) for s, t in zip(scores[0].tolist(), ties[0].tolist(), strict=True)]
    assert sorted(range(len(pairs)), key=lambda i: keys[i]) == sorted(
        range(len(pairs)), key=lambda i: exact[i]
    )


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_metric_equals_a_loop_over_users(seed: int) -> None:
    """Few distinct scores, so that ties are common."""
    generator = torch.Generator().manual_seed(seed)

    def draw(high: int, *shape: int) -> torch.Tensor:
        return torch.randint(high, shape, generator=generator)

    n_users, n_items, n_query, top = 4, 12, 5, 3
    scores = draw(4, n_users, n_items).float()
    ties = torch.rand(n_users, n_items, generator=generator).argsort(1)  # no two alike
    ratings = draw(5, n_users, n_query).float() + 1
    order = torch.rand(n_users, n_items - 1, generator=generator).argsort(1) + 1
    items, support = order[:, :n_query], order[:, n_query : n_query + 2]
    seen, liked = torch.ones(n_users, n_query, dtype=torch.bool), ratings >= 4
    scored, tied = scores.gather(1, items), ties.gather(1, items)
    best = formulas.top_items(scores, support, ties, top)
    hits, n_liked = formulas.hits(best, items.masked_fill(~liked, 0)), liked.sum(1)
    found = {
        "ndcg": formulas.graded_ndcg(scored, formulas.gains(ratings, 1, 5), seen, tied, top),
        "auc": formulas.auc(scored, liked, seen),
        "recall": formulas.recall(hits, n_liked),
        "truncated": formulas.truncated_recall(hits, n_liked),
        "binary": formulas.binary_ndcg(hits, n_liked),
        "mrr": formulas.reciprocal_rank(hits, n_liked),
    }
    for u in range(n_users):
        rank = sorted(
            set(range(1, n_items)) - set(support[u].tolist()),
            key=lambda i: (-scores[u, i].item(), -ties[u, i].item()),
        )[:top]
        assert best[u].tolist() == rank
        rating = dict(zip(items[u].tolist(), ratings[u].tolist(), strict=True))
        expected = _by_hand(rank, rating, scores[u].tolist(), ties[u].tolist(), top)
        for name, value in expected.items():
            assert found[name][u].item() == pytest.approx(value, nan_ok=True), name


def _by_hand(
    rank: list[int], rating: dict[int, float], scores: list[float], ties: list[int], top: int
) -> dict[str, float]:
    weights = [1 / math.log2(2 + i) for i in range(20)]
    likes = [i for i in rating if rating[i] >= 4]
    others = [i for i in rating if rating[i] < 4]
    by_score = sorted(rating, key=lambda i: (-scores[i], -ties[i]))[:top]
    gain = {i: 2 ** (rating[i] - 1) - 1 for i in rating}
    ideal = sorted(gain.values(), reverse=True)[:top]
    best = sum(w * g for w, g in zip(weights, ideal, strict=False))
    wins = [(scores[a] > scores[b]) + 0.5 * (scores[a] == scores[b]) for a in likes for b in others]
    found = [i in likes for i in rank]
    first = [1 / (1 + n) for n, hit in enumerate(found) if hit]
    nan = math.nan
    return {
        "ndcg": sum(w * gain[i] for w, i in zip(weights, by_score, strict=False)) / best
        if best
        else 1.0,
        "auc": sum(wins) / len(wins) if wins else nan,
        "recall": sum(found) / len(likes) if likes else nan,
        "truncated": sum(found) / min(len(likes), top) if likes else nan,
        "binary": sum(w for w, hit in zip(weights, found, strict=False) if hit)
        / sum(weights[: min(len(likes), top)])
        if likes
        else nan,
        "mrr": (first[0] if first else 0.0) if likes else nan,
    }


def test_pooled_auc_counts_pairs_of_different_users() -> None:
    scores, liked = np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])
    weights = np.array([[1, 1, 1, 1], [1, 0, 1, 2], [0, 2, 1, 0]], dtype=float)
    # (.9 beats two, .5 ties one and beats one), (.9 beats three), (only ties)
    assert formulas.pooled_auc(scores, liked, weights).tolist() == [3.5 / 4, 1.0, 0.5]


def test_pooled_auc_of_weights_is_that_of_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    scores, liked = rng.integers(0, 6, 40) / 6, rng.random(40) < 0.4
    times = rng.integers(0, 4, (3, 40))
    found = formulas.pooled_auc(scores, liked, times.astype(float))
    for row, value in zip(times, found, strict=True):
        s, y = scores.repeat(row), liked.repeat(row)
        ties = np.sign(s[y][:, None] - s[~y][None, :])
        assert value == pytest.approx(float((0.5 + 0.5 * ties).mean()))
