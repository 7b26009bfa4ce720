"""A method as it serves one user alone: numpy in, numpy out.

For one user, dispatch is most of a torch call's cost. A method that is a few small sums and
products has a server of its own (:meth:`Recommender.serve`); every other is served through torch,
by the same calls as a batch.

Legend: S ratings of the user, F user features, N items with the unknown one, Q items to predict.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from coldstart.data.episodes import Support

if TYPE_CHECKING:
    from coldstart.models.recommender import Recommender

Ints = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]


class Ratings(NamedTuple):
    """Predicted targets of items, in their unit."""

    mean_Q: Floats
    variance_Q: Floats | None  # predictive (noise included), where the method has it


def alone(support: Support) -> tuple[Ints, Floats, Floats]:
    """What :meth:`Server.adapt` takes, of a support of one user."""
    rated_S = support.mask_BS[0]
    items_S, targets_S = support.items_BS[0][rated_S], support.targets_BS[0][rated_S]
    return items_S.numpy(), targets_S.numpy(), support.users_BF[0].numpy()


class Server(ABC):
    """Serves one user after another, on the CPU; holds the method, never a user."""

    @abstractmethod
    def adapt(self, items_S: Ints, targets_S: Floats, features_F: Floats) -> Any:
        """What the other methods read: all that is known of the user.

        Args:
            items_S: rows of the catalogue that the user rated; may be none, none is padding.
            targets_S: their targets.
            features_F: the user's encoded attributes.
        """

    @abstractmethod
    def rank(self, state: Any) -> Floats:
        """As :meth:`Recommender.rank_catalogue`: ``[N]``, an array that the caller may change."""

    @abstractmethod
    def score(self, state: Any, items_Q: Ints) -> Ratings:
        """As :meth:`Recommender.score`."""


class TorchServer(Server):
    """Any method, as it is."""

    def __init__(self, method: Recommender) -> None:
        self._method = method

    def adapt(self, items_S: Ints, targets_S: Floats, features_F: Floats) -> Any:
        """A batch of one user."""
        items_BS = torch.from_numpy(items_S).unsqueeze(0)
        support = Support(
            items_BS=items_BS,
            targets_BS=torch.from_numpy(targets_S).unsqueeze(0),
            mask_BS=torch.ones_like(items_BS, dtype=torch.bool),
            users_BF=torch.from_numpy(features_F).unsqueeze(0),
            crossfit_B=torch.zeros(1, dtype=torch.int64),
        )
        with torch.no_grad():
            return self._method.adapt(support)

    def rank(self, state: Any) -> Floats:
        """A copy: what a method returns may be its own table."""
        with torch.no_grad():
            scores_N: Floats = self._method.rank_catalogue(state)[0].numpy().copy()
        return scores_N

    def score(self, state: Any, items_Q: Ints) -> Ratings:
        """A batch of one user."""
        with torch.no_grad():
            mean_BQ, variance_BQ = self._method.score(state, torch.from_numpy(items_Q).unsqueeze(0))
        return Ratings(mean_BQ[0].numpy(), None if variance_BQ is None else variance_BQ[0].numpy())
