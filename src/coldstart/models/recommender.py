"""The one protocol that every baseline, meta-learner and combination follows.

``fit`` happens offline and ends in a bundle. ``adapt`` turns a support set into a user state;
``score`` reads it. Evaluation, promotion and serving know nothing else about a method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from coldstart.data.episodes import Support
from coldstart.models.bundle import Bundle


class Prediction(NamedTuple):
    """Scores, in the unit of the targets (rating points, or the probability of a like)."""

    mean: Tensor  # [B, Q]
    variance: Tensor | None = None  # [B, Q], predictive (noise included), where the method has it


State = dict[str, Tensor]
"""What a method knows of ``B`` users after adapting: every tensor has ``B`` as first dimension."""


class Recommender(ABC):
    """A fitted method. Immutable: adapting returns a state and changes nothing here."""

    kind: ClassVar[str]
    """Name of the class in a bundle's manifest; unique over all methods."""

    n_items: int
    """Rows of the catalogue, the unknown item (row 0) included: ``N``."""

    @abstractmethod
    def adapt(self, support: Support) -> State:
        """Adapt to ``B`` users at once; a user without any support rating is allowed."""

    @abstractmethod
    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """Predict the targets of ``Q`` items for each of the ``B`` users of ``state``."""

    @abstractmethod
    def score_catalogue(self, state: State) -> Prediction:
        """Predict the targets of all ``N`` items: ``[B, N]``. Column 0 is the unknown item."""

    def rank_catalogue(self, state: State) -> Tensor:
        """What the catalogue is recommended by, higher first: ``[B, N]``, in no unit.

        The predicted targets, unless a method also knows what people choose: an item that somebody
        would like but nobody of their kind looks at is a poor recommendation.
        """
        return self.score_catalogue(state).mean

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Everything fitted, for the bundle."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Everything else that ``from_bundle`` needs, as JSON values."""

    @classmethod
    @abstractmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """The inverse of :meth:`to_bundle`."""

    def to(self, device: torch.device | str) -> Self:
        """The same method on another device; supports and states are to be there too."""
        tensors = {name: value.to(device) for name, value in self.tensors().items()}
        return self.from_bundle(Bundle(self.kind, self.config(), tensors))

    def to_bundle(self) -> Bundle:
        """The method as tensors and JSON."""
        return Bundle(kind=self.kind, config=self.config(), tensors=self.tensors())
