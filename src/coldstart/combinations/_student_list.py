"""How a student of a list ranks: by the teacher's choice and by the rating that it predicts.

    score_i = log P(chooses i) + b_K log P(likes i) + what strangers like, as the teacher's

Choice is a closed form already, as small as a student: it is taken over, and so are the shares of
what strangers like. The like follows from the rating that the student predicts, by the teacher's
curve and weight. What the teacher knows of company, a matrix of all pairs of items, is left behind.

Legend: B users, S ratings of the user, N items, F user features, E factors of exposure, K shots.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor

from coldstart.combinations._list_server import Chances, Newcomer
from coldstart.combinations._list_signals import expected_shares, log_choice, log_like
from coldstart.combinations._list_strangers import Strangers, correction
from coldstart.combinations.list import List
from coldstart.models.backbone import Exposure
from coldstart.models.choosing import Choosing
from coldstart.models.foldin_alone import FoldInServer
from coldstart.models.recommender import Recommender, State, named, part_of
from coldstart.models.server import Floats, Ints, Ratings, Server

STRANGERS = "strangers."


class ListHead(NamedTuple):
    """What is taken over from a teacher that makes lists."""

    share_N: Tensor
    factors_NE: Tensor
    prior_FE: Tensor
    noise: Tensor
    slope: Tensor  # of the log-odds of a like
    border: Tensor  # the rating at which they are 0
    weight_K: Tensor  # of the like; the last serves all larger K
    strangers: Strangers

    @classmethod
    def of(cls, teacher: Recommender) -> Self | None:
        """Nothing where the teacher ranks by what it predicts."""
        if not isinstance(teacher, List):
            return None
        signals = teacher.signals
        share_CN, factors_CNE, prior_CFE, noise = signals.backbone.exposure
        return cls(
            share_CN[0], factors_CNE[0], prior_CFE[0], noise,
            signals.slope, signals.backbone.like, teacher.weights_KJ[:, 0], signals.strangers,
        )  # fmt: skip

    def choosing(self) -> Choosing:
        """Folds a user into the model of exposure."""
        shares, factors = self.share_N.unsqueeze(0), self.factors_NE.unsqueeze(0)
        exposure = Exposure(shares, factors, self.prior_FE.unsqueeze(0), self.noise)
        return Choosing(exposure, self.noise)

    def rank(
        self, choice: State, users_BF: Tensor, rating_BN: Tensor, expected_BN: Tensor
    ) -> Tensor:
        """All items: ``[B, N]``.

        Args:
            choice: a state of :meth:`choosing`.
            users_BF: features.
            rating_BN: what the student predicts.
            expected_BN: what it predicted before the first rating.
        """
        count_B = choice["mask_BS"].sum(1)
        weight_B = self.weight_K[count_B.clamp(max=len(self.weight_K) - 1)]
        liked_BN = self._like(rating_BN)
        before_BN = self._choice(choice["before_BE"]) + self._like(expected_BN)
        stranger_BN, known_N = self.strangers.liked(users_BF), self.strangers.known_N
        more_BN = correction(stranger_BN, before_BN, known_N, count_B)
        return self._choice(choice["mean_BE"]) + more_BN + weight_B.unsqueeze(1) * liked_BN

    def _choice(self, mean_BE: Tensor) -> Tensor:
        share_N = expected_shares(self.share_N)
        return log_choice(share_N + mean_BE @ self.factors_NE.mT, share_N)

    def _like(self, rating_BN: Tensor) -> Tensor:
        return log_like(rating_BN, self.slope, self.border)


class ListStudentServer(Server):
    """A student with a list head for one user alone."""

    def __init__(self, rating: FoldInServer, head: ListHead) -> None:
        self._rating = rating
        curve = head.slope, head.border
        self._chances = Chances(head.choosing(), curve, head.strangers)
        self._weight_K = head.weight_K.numpy()

    def adapt(self, items_S: Ints, targets_S: Floats, features_F: Floats) -> Newcomer:
        """Two solves."""
        choice = self._chances.adapt(items_S, features_F)
        return Newcomer(choice, self._rating.adapt(items_S, targets_S, features_F), features_F)

    def rank(self, state: Newcomer) -> Floats:
        """See :meth:`ListHead.rank`."""
        size = state.choice.size
        weight = self._weight_K[min(size, len(self._weight_K) - 1)]
        expected_N = self._rating.expected(state.features_F)
        scores_N = self._chances.choice(state.choice)
        scores_N += self._chances.correction(state.choice, state.features_F, expected_N)
        scores_N -= weight * self._chances.unlike(self._rating.rank(state.taste))
        return scores_N

    def score(self, state: Newcomer, items_Q: Ints) -> Ratings:
        """The student's rating and its variance."""
        return self._rating.score(state.taste, items_Q)


def tensors_of(head: ListHead) -> dict[str, Tensor]:
    """By the name of the field; of a table that another holds too, a copy."""
    own = {name: value for name, value in head._asdict().items() if name != "strangers"}
    own |= named(head.strangers._asdict(), STRANGERS)
    return {name: torch.clone(value) for name, value in own.items()}


def head_of(tensors: dict[str, Tensor]) -> ListHead:
    """The inverse of :func:`tensors_of`."""
    strangers = part_of(tensors, STRANGERS)
    own = {name: value for name, value in tensors.items() if not name.startswith(STRANGERS)}
    return ListHead(**own, strangers=Strangers(**strangers))
