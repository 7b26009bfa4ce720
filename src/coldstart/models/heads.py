"""Output heads: what a method's raw score means, and the loss that trains it.

``rating`` predicts rating points by least squares; ``click`` predicts the probability of a like by
logistic regression. All functions are elementwise, so they work on any shape and under ``vmap``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's usual name


class Head(ABC):
    """Links an unbounded score to a prediction in the unit of the targets."""

    name: ClassVar[str]

    @abstractmethod
    def loss(self, score: Tensor, target: Tensor) -> Tensor:
        """Elementwise training loss, same shape as its arguments."""

    @abstractmethod
    def predict(self, score: Tensor) -> Tensor:
        """The prediction that a score stands for."""

    @abstractmethod
    def score(self, prediction: Tensor) -> Tensor:
        """The score that stands for a prediction: the inverse of :meth:`predict`."""


class RatingHead(Head):
    """Squared error in rating points; the score is the prediction."""

    name = "rating"

    def loss(self, score: Tensor, target: Tensor) -> Tensor:
        """``(score - target)^2``."""
        return (score - target).square()

    def predict(self, score: Tensor) -> Tensor:
        """The score itself."""
        return score

    def score(self, prediction: Tensor) -> Tensor:
        """The prediction itself."""
        return prediction


class ClickHead(Head):
    """Binary cross-entropy; the score is the log-odds of a like."""

    name = "click"
    margin: ClassVar[float] = 0.01
    """Probabilities are kept this far from 0 and 1 when turned into scores."""

    def loss(self, score: Tensor, target: Tensor) -> Tensor:
        """``-target log p - (1 - target) log(1 - p)`` with ``p = sigmoid(score)``."""
        return F.binary_cross_entropy_with_logits(score, target, reduction="none")

    def predict(self, score: Tensor) -> Tensor:
        """``sigmoid(score)``."""
        return torch.sigmoid(score)

    def score(self, prediction: Tensor) -> Tensor:
        """Log-odds; a linear model's prediction may lie outside (0, 1) and is pulled inside."""
        return torch.logit(prediction, eps=self.margin)


HEADS: dict[str, Head] = {head.name: head for head in (RatingHead(), ClickHead())}
"""By the value of ``head`` in ``params.yaml``."""
