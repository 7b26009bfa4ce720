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
