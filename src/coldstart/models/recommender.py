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
from coldstart.models.server import Server, TorchServer


class Prediction(NamedTuple):
    """Scores, in the unit of the targets (rating points, or the probability of a like)."""

    mean: Tensor  # [B, Q]
    variance: Tensor | None = None  # [B, Q], predictive (noise included), where the method has it


State = dict[str, Tensor]
"""What a method knows of ``B`` users after adapting: every tensor has ``B`` as first dimension."""


def named(state: State, prefix: str) -> State:
    """The same under names that start with ``prefix``: how a state holds another."""
    return {prefix + name: value for name, value in state.items()}


def part_of(state: State, prefix: str) -> State:
    """The inverse of :func:`named`."""
    return {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}


def kept(support: Support) -> State:
    """The support as a part of a state, for a method that can only adapt again."""
    return {
        "items_BS": support.items_BS,
        "targets_BS": support.targets_BS,
        "mask_BS": support.mask_BS,
        "users_BF": support.users_BF,
    }


def one_rating(items_B: Tensor, targets_B: Tensor, users_BF: Tensor) -> Support:
    """A support of one rating of each user."""
    items_B1 = items_B.unsqueeze(1)
    mask_B1 = torch.ones_like(items_B1, dtype=torch.bool)
    return Support(items_B1, targets_B.unsqueeze(1), mask_B1, users_BF, torch.zeros_like(items_B))


def with_one_more(state: State, items_B: Tensor, targets_B: Tensor) -> Support:
    """The support that :func:`kept` put into ``state``, and one more rating of each user."""
    one = one_rating(items_B, targets_B, state["users_BF"])
    return one._replace(
        items_BS=torch.cat([state["items_BS"], one.items_BS], 1),
        targets_BS=torch.cat([state["targets_BS"], one.targets_BS], 1),
        mask_BS=torch.cat([state["mask_BS"], one.mask_BS], 1),
    )


class Recommender(ABC):
    """A fitted method. Immutable: adapting returns a state and changes nothing here."""

    kind: ClassVar[str]
    """Name of the class in a bundle's manifest; unique over all methods."""

    exact_update: bool = True
    """Whether :meth:`update` gives what adapting to all ratings gives, up to rounding."""

    n_items: int
    """Rows of the catalogue, the unknown item (row 0) included: ``N``."""

    @abstractmethod
    def adapt(self, support: Support) -> State:
        """Adapt to ``B`` users at once; a user without any support rating is allowed."""

    def update(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """The state of the same users after one more rating of each.

        Equal to adapting to all of their ratings, whatever the order, where ``exact_update`` says
        so. A method without a rule of its own adapts again to the support that :func:`kept` put
        into the state.
        """
        return self.adapt(with_one_more(state, items_B, targets_B))

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

    def serve(self) -> Server:
        """The method for one user alone, laid out in numpy where that is faster; made once."""
        return TorchServer(self)

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
