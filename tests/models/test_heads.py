"""Losses and links against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from coldstart.models.heads import HEADS


def test_rating_is_squared_error_and_identity() -> None:
    head = HEADS["rating"]
    score, target = torch.tensor([3.0, 4.5]), torch.tensor([5.0, 4.0])
    assert head.loss(score, target).tolist() == [4.0, 0.25]
    assert torch.equal(head.predict(score), score)
    assert torch.equal(head.score(score), score)


def test_click_is_cross_entropy_and_sigmoid() -> None:
    head = HEADS["click"]
    score, target = torch.tensor([0.0, 2.0]), torch.tensor([1.0, 0.0])
    expected = torch.tensor([math.log(2.0), math.log1p(math.exp(2.0))])
    torch.testing.assert_close(head.loss(score, target), expected)
    torch.testing.assert_close(head.predict(score), 1 / (1 + torch.exp(-score)))


def test_click_score_inverts_predict_and_tames_linear_predictions() -> None:
    head = HEADS["click"]
    score = torch.linspace(-4, 4, 9)
    torch.testing.assert_close(head.score(head.predict(score)), score)
    assert torch.isfinite(head.score(torch.tensor([-0.3, 1.2]))).all()


@pytest.mark.parametrize("name", sorted(HEADS))
def test_the_loss_is_smallest_at_the_target(name: str) -> None:
    head = HEADS[name]
    target = torch.tensor([1.0])
    near, far = head.score(torch.tensor([0.9])), head.score(torch.tensor([0.2]))
    assert head.loss(near, target) < head.loss(far, target)


def _row(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def test_ranking_by_hand() -> None:
    """Two likes, a dislike, a negative drawn twice as often as once, and padding."""
    scores = _row(1.0, 0.5, 0.2, -0.3, 9.0)
    liked, draws = _row(1, 1, 0, 0, 0), _row(0, 0, 0, 2.0, 0)
    mask = torch.tensor([[True, True, True, True, False]])
    rest = math.exp(0.2) + math.exp(-0.3) / 2
    expected = [-math.log(math.exp(s) / (math.exp(s) + rest)) for s in (1.0, 0.5)]
    found = HEADS["ranking"].query_loss(scores, liked, mask, draws)
    assert float(found) == pytest.approx(sum(expected) / 2)


def test_a_weak_sign_of_a_like_counts_as_much_of_one() -> None:
    scores, mask = _row(1.0, 0.5, 0.2), torch.tensor([[True, True, True]])
    part = [
        float(HEADS["ranking"].query_loss(scores, _row(*targets), mask, None))
        for targets in ((1.0, 0.0, 0.0), (0.25, 0.0, 0.0), (1.0, 1.0, 0.0), (1.0, 0.25, 0.0))
    ]
    assert part[1] == pytest.approx(part[0] / 4)
    second = math.log(1 + math.exp(0.2 - 0.5))
    assert part[2] - part[3] == pytest.approx(0.75 * second / 2)


def test_items_drawn_as_often_as_expected_give_the_full_softmax() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(1, 7, generator=generator, dtype=torch.float64)
    times = torch.tensor([3, 1, 4, 2, 5, 1])  # of each item but the first, which is liked
    drawn = torch.cat([torch.tensor([0]), torch.arange(1, 7).repeat_interleave(times)])
    draws = torch.cat([torch.tensor([0]), times.repeat_interleave(times)]).double()[None]
    liked = (drawn == 0).double()[None]
    found = HEADS["ranking"].query_loss(scores[:, drawn], liked, liked >= 0, draws)
    assert float(found) == pytest.approx(float(-torch.log_softmax(scores, 1)[0, 0]))


def test_who_likes_nothing_or_everything_costs_nothing_and_has_a_gradient() -> None:
    scores = torch.zeros(2, 3, requires_grad=True)
    liked = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    found = HEADS["ranking"].query_loss(scores, liked, liked >= 0, None)
    assert found.tolist() == [0.0, 0.0]
    (gradient,) = torch.autograd.grad(found.sum(), scores)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", ["rating", "click"])
def test_a_query_costs_the_mean_of_what_is_not_padding(name: str) -> None:
    head = HEADS[name]
    scores, targets = _row(0.3, -0.2, 5.0), _row(1, 0, 0)
    mask = torch.tensor([[True, True, False]])
    expected = head.loss(scores, targets)[0, :2].mean()
    torch.testing.assert_close(head.query_loss(scores, targets, mask, None)[0], expected)
