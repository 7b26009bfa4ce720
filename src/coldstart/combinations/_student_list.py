"""How a student of a list ranks: by the teacher's choice and by the rating that it predicts.

    score_i = log P(chooses i) + b_K log P(likes i)

Choice is a closed form already, as small as a student: it is taken over. The like follows from the
rating that the student predicts, by the teacher's curve and weight. What the teacher knows of
company, a matrix of all pairs of items, is left behind.

Legend: B users, S ratings of the user, N items, F user features, E factors of exposure, K shots.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from coldstart.combinations._list_server import least_chosen, softplus
from coldstart.combinations._list_signals import expected_shares, log_choice, log_like
from coldstart.combinations.list import List
from coldstart.models.backbone import Exposure
from coldstart.models.exposure import model_of
from coldstart.models.foldin import FoldIn
from coldstart.models.foldin_alone import FoldInServer, Known
from coldstart.models.recommender import Recommender, State
from coldstart.models.server import Floats, Ints, Ratings, Server


class ListHead(NamedTuple):
    """What is taken over from a teacher that makes lists."""

    share_N: Tensor
    factors_NE: Tensor
    prior_FE: Tensor
    noise: Tensor
    slope: Tensor  # of the log-odds of a like
    border: Tensor  # the rating at which they are 0
    weight_K: Tensor  # of the like; the last serves all larger K

    @classmethod
    def of(cls, teacher: Recommender) -> Self | None:
        """Nothing where the teacher ranks by what it predicts."""
        if not isinstance(teacher, List):
            return None
        signals = teacher.signals
        share_CN, factors_CNE, prior_FE, noise = signals.backbone.exposure
        return cls(
            share_CN[0], factors_CNE[0], prior_FE, noise,
            signals.slope, signals.backbone.like, teacher.weights_KJ[:, 0],
        )  # fmt: skip

    def choosing(self) -> FoldIn:
        """Folds a user into the model of exposure."""
        shares, factors = self.share_N.unsqueeze(0), self.factors_NE.unsqueeze(0)
        return model_of(Exposure(shares, factors, self.prior_FE, self.noise), self.noise)

    def rank(self, choice: State, rating_BN: Tensor) -> Tensor:
        """All items: ``[B, N]``.

        Args:
            choice: a state of :meth:`choosing`.
            rating_BN: what the student predicts.
        """
        share_N = expected_shares(self.share_N)
        expected_BN = share_N + choice["mean_BD"] @ self.factors_NE.mT
        place_B = choice["count_B"].long().clamp(max=len(self.weight_K) - 1)
        liked_BN = log_like(rating_BN, self.slope, self.border)
        return log_choice(expected_BN, share_N) + self.weight_K[place_B].unsqueeze(1) * liked_BN


class Newcomer(NamedTuple):
    """All that is known of a user."""

    choice: Known
    taste: Known


class ListStudentServer(Server):
    """A student with a list head for one user alone."""

    def __init__(self, rating: FoldInServer, head: ListHead) -> None:
        self._rating = rating
        self._choosing = FoldInServer(head.choosing())
        self._above_N, self._least_N = least_chosen(head.share_N)
        self._slope, self._border = float(head.slope), float(head.border)
        self._weight_K = head.weight_K.numpy()

    def adapt(self, items_S: Ints, targets_S: Floats, features_F: Floats) -> Newcomer:
        """Two solves."""
        choice = self._choosing.adapt(items_S, np.ones_like(targets_S), features_F)
        return Newcomer(choice, self._rating.adapt(items_S, targets_S, features_F))

    def rank(self, state: Newcomer) -> Floats:
        """See :meth:`ListHead.rank`."""
        weight = self._weight_K[min(state.choice.size, len(self._weight_K) - 1)]
        scores_N = self._choosing.rank(state.choice)
        scores_N += self._above_N
        np.maximum(scores_N, self._least_N, out=scores_N)
        np.log(scores_N, out=scores_N)
        rating_N = self._rating.rank(state.taste)
        scores_N -= weight * softplus(self._slope * (self._border - rating_N))
        return scores_N

    def score(self, state: Newcomer, items_Q: Ints) -> Ratings:
        """The student's rating and its variance."""
        return self._rating.score(state.taste, items_Q)


def tensors_of(head: ListHead) -> dict[str, Tensor]:
    """By the name of the field; of a table that another holds too, a copy."""
    return {name: torch.clone(value) for name, value in head._asdict().items()}
