"""Implicit feedback: unrated items, drawn at random, that count as not liked.

Legend: B users, S support, Q query, M draws, N items with the unknown one, R historical ratings.
"""

from __future__ import annotations

import torch
from torch import Tensor

from coldstart.data.episodes import Episodes, History
from coldstart.params import NegativesParams


class Negatives:
    """Draws items by ``popularity^alpha``, as often as an item is liked times ``number``.

    An item counts as one rating more than it has, so that one without any can be drawn. What a
    user is known to have rated is left out: by the history, or by the episode itself.
    """

    def __init__(
        self, history: History, params: NegativesParams, generator: torch.Generator
    ) -> None:
        """Index the ratings.

        Args:
            history: Sorted by user and item.
            params: How many, and how they are drawn.
            generator: Source of all randomness, on the CPU.
        """
        self._number = params.number
        self._generator = generator
        self._n_items = history.n_items
        self._rated_R = history.users_R * history.n_items + history.items_R
        count_N = torch.bincount(history.items_R, minlength=history.n_items).double()
        weight_N = (count_N + 1) ** params.alpha
        weight_N[0] = 0.0  # the unknown item is nobody's
        self._share_N = weight_N / weight_N.sum()

    def append(self, episodes: Episodes) -> Episodes:
        """The same tasks with ``number`` draws for each liked item of the query, targets 0."""
        liked_B = ((episodes.targets_BQ > 0) & episodes.mask_BQ).sum(1, keepdim=True)
        B, Q = episodes.items_BQ.shape
        items_BM = torch.multinomial(
            self._share_N, B * Q * self._number, replacement=True, generator=self._generator
        ).reshape(B, -1)
        number_B1 = liked_B * self._number
        mask_BM = torch.arange(items_BM.shape[1]) < number_B1
        mask_BM &= ~self._rated(episodes, items_BM)
        draws_BM = (number_B1 * self._share_N[items_BM] * mask_BM).to(episodes.targets_BQ.dtype)
        zeros_BM = torch.zeros_like(draws_BM)
        return episodes._replace(
            items_BQ=torch.cat([episodes.items_BQ, items_BM * mask_BM], 1),
            targets_BQ=torch.cat([episodes.targets_BQ, zeros_BM], 1),
            mask_BQ=torch.cat([episodes.mask_BQ, mask_BM], 1),
            draws_BQ=torch.cat([torch.zeros_like(episodes.targets_BQ), draws_BM], 1),
        )

    def _rated(self, episodes: Episodes, items_BM: Tensor) -> Tensor:
        key_BM = episodes.users_B.unsqueeze(1) * self._n_items + items_BM
        place_BM = torch.searchsorted(self._rated_R, key_BM).clamp(max=len(self._rated_R) - 1)
        own_BT = torch.cat([episodes.support.items_BS, episodes.items_BQ], 1)
        here_BM = (own_BT.unsqueeze(-1) == items_BM.unsqueeze(1)).any(1)
        return (self._rated_R[place_BM] == key_BM) | here_BM
