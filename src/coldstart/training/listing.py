"""How good a learner's lists are, measured while it is trained: what decides where it ranks.

Legend: B users, S support, Q query, X items left out, N items, T the top of a list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from coldstart.data.episodes import Episodes, some_rows
from coldstart.models.recommender import Recommender

TOP = 10
CELLS = 1 << 20
"""Scores of the catalogue held at once: users times items."""


class Lists(NamedTuple):
    """Validation users, of whom some likes are right and other ratings are nobody's business."""

    episodes: Episodes
    left_out_BX: Tensor  # int64: items neither right nor wrong, which evaluation reads; 0: none
    like: float  # a target above it is a like
    shots: Sequence[int]

    def of_some(self, most: int) -> Lists:
        """The same of at most so many users, a random choice."""
        rows = some_rows(self.episodes.n_users, most)
        return self._replace(episodes=self.episodes.rows(rows), left_out_BX=self.left_out_BX[rows])

    @torch.no_grad()
    def recall(self, method: Recommender) -> float:
        """``list_recall@10`` of the likes in the query: a mean over shots and users who have any.

        0 where nobody likes anything.
        """
        recalls_KA = self.recalls(method)
        return float(recalls_KA.mean()) if recalls_KA.numel() else 0.0

    @torch.no_grad()
    def recalls(self, method: Recommender) -> Tensor:
        """The same by shot, of the A users who like anything: ``[K, A]``."""
        liked_BQ = self.episodes.mask_BQ & (self.episodes.targets_BQ > self.like)
        asked_B = liked_BQ.any(1).nonzero()[:, 0]
        rows = max(1, CELLS // method.n_items)
        shares = [
            self._recall(method, part_B, liked_BQ[part_B], k)
            for k in self.shots
            for part_B in torch.split(asked_B, rows)
        ]
        return torch.cat(shares).reshape(len(self.shots), len(asked_B))

    def _recall(self, method: Recommender, part_B: Tensor, liked_BQ: Tensor, k: int) -> Tensor:
        support = self.episodes.support.rows(part_B).first(k)
        scores_BN = method.rank_catalogue(method.adapt(support)).clone()
        scores_BN[:, 0] = -torch.inf  # the unknown item is not for sale
        hidden_BX = torch.cat([support.items_BS, self.left_out_BX[part_B]], 1)
        scores_BN.scatter_(1, hidden_BX, -torch.inf)
        top_BT = scores_BN.topk(min(TOP, scores_BN.shape[1]), 1).indices
        likes_BQ = self.episodes.items_BQ[part_B].masked_fill(~liked_BQ, -1)
        hits_B = (top_BT.unsqueeze(-1) == likes_BQ.unsqueeze(1)).any(-1).sum(1)
        return hits_B.double() / liked_BQ.sum(1).clamp(max=TOP)
