"""Output heads: what a method's raw score means, and the loss that trains it.

``rating`` predicts standardised ratings by least squares; ``click`` predicts the probability of a
like by logistic regression; ``ranking`` adapts to likes as ``click`` does, and is judged by whether
liked items come before the others. All but :meth:`Head.query_loss` are elementwise.

Legend: B users, Q query items.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's usual name

_NEVER = -1e9
"""Score of an item that does not take part; finite, so that nobody's gradient is undefined."""


class Head(ABC):
    """Links an unbounded score to a prediction in the unit of the targets."""

    name: ClassVar[str]

    @abstractmethod
    def loss(self, score: Tensor, target: Tensor) -> Tensor:
        """Elementwise training loss, same shape as its arguments."""

    def query_loss(
        self, score_BQ: Tensor, target_BQ: Tensor, mask_BQ: Tensor, draws_BQ: Tensor | None
    ) -> Tensor:
        """What a user's query costs, ``[B]``: the mean loss of what is not padding.

        ``draws_BQ`` is that of ``Episodes``; not read here, where a negative counts as often as it
        is drawn.
        """
        del draws_BQ
        return masked_mean(self.loss(score_BQ, target_BQ), mask_BQ)

    @abstractmethod
    def predict(self, score: Tensor) -> Tensor:
        """The prediction that a score stands for."""

    @abstractmethod
    def score(self, prediction: Tensor) -> Tensor:
        """The score that stands for a prediction: the inverse of :meth:`predict`."""


class RatingHead(Head):
    """Squared error; the score is the prediction."""

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


class RankingHead(ClickHead):
    """Sampled softmax; of the score only its order within a user counts.

    ``-log exp(s_i) / (exp(s_i) + sum_j exp(s_j) / d_j)``, averaged over the liked items i; j are
    the user's items that are not liked, ``d_j`` how often j was expected to be drawn: in
    expectation, the sum over all such items (Bengio & Senecal 2008; the log-q correction of Yi et
    al. 2019, who draw from the batch). What was rated and not liked is there for certain. A target
    between 0 and 1, a weak sign of a like, counts as much of one.
    """

    name = "ranking"

    def query_loss(
        self, score_BQ: Tensor, target_BQ: Tensor, mask_BQ: Tensor, draws_BQ: Tensor | None
    ) -> Tensor:
        """See the class; 0 for a user who likes nothing."""
        corrected_BQ = score_BQ
        if draws_BQ is not None:
            corrected_BQ = score_BQ - torch.where(draws_BQ > 0, draws_BQ, 1.0).log()
        liked_BQ = (target_BQ > 0) & mask_BQ
        rest_B1 = corrected_BQ.masked_fill(liked_BQ | ~mask_BQ, _NEVER).logsumexp(1, keepdim=True)
        return masked_mean(target_BQ * F.softplus(rest_B1 - score_BQ), liked_BQ)


def masked_mean(values_BQ: Tensor, mask_BQ: Tensor) -> Tensor:
    """Mean over the entries that are not padding; 0 for a row without any."""
    total_B = values_BQ.masked_fill(~mask_BQ, 0.0).sum(-1)
    return total_B / mask_BQ.sum(-1).clamp(min=1)


HEADS: dict[str, Head] = {head.name: head for head in (RatingHead(), ClickHead(), RankingHead())}
"""By the value of ``head`` in ``params.yaml``."""
