"""A learner whose list and whose ratings come from two thetas of one training run.

What ranks a catalogue best and what predicts best are reached at different steps: ratings go on
improving when the list has long been best, often at the untrained start. So the training loop
keeps both thetas, each chosen by what it is for, and the learner adapts at both.

Legend: B users, N items, F user features, S support.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import torch
from torch import Tensor

from coldstart.algorithms._base import MetaLearner, Theta
from coldstart.data.episodes import Support
from coldstart.models.bundle import Bundle
from coldstart.models.recommender import State, named, part_of
from coldstart.models.server import Floats, Ints, Ratings, Server
from coldstart.params import Section

P = TypeVar("P", bound=Section)
LISTING = "listing."
"""Prefix of the second theta in a bundle, and in a state of what was adapted at it."""


class RanksApart(MetaLearner[P]):
    """Ranks at ``listing``, predicts at ``theta``; at theta both, where there is no ``listing``."""

    ranks_apart: ClassVar[bool] = True
    listing: Theta | None = None

    @abstractmethod
    def update_one(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """As :meth:`Recommender.update`, at theta."""

    @abstractmethod
    def rank_one(self, state: State) -> Tensor:
        """As :meth:`Recommender.rank_catalogue`, at theta."""

    @abstractmethod
    def serve_one(self) -> Server:
        """As :meth:`Recommender.serve`, at theta."""

    def with_listing(self, theta: Theta) -> Self:
        """The same learner, which ranks at ``theta``; at its own theta it is as it was."""
        made = self.with_theta(self.theta)
        if not all(torch.equal(value, theta[name]) for name, value in self.theta.items()):
            made.listing = {name: value.detach() for name, value in theta.items()}
        return made

    def adapt(self, support: Support) -> State:
        """See :meth:`Recommender.adapt`."""
        state = super().adapt(support)
        if self._lister is not None:
            state |= named(self._lister.adapt(support), LISTING)
        return state

    def update(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """See :meth:`Recommender.update`."""
        after = self.update_one(state, items_B, targets_B)
        if self._lister is not None:
            listed = self._lister.update(part_of(state, LISTING), items_B, targets_B)
            after |= named(listed, LISTING)
        return after

    def rank_catalogue(self, state: State) -> Tensor:
        """See :meth:`Recommender.rank_catalogue`."""
        if self._lister is None:
            return self.rank_one(state)
        return self._lister.rank_one(part_of(state, LISTING))

    def serve(self) -> Server:
        """See :meth:`Recommender.serve`."""
        own = self.serve_one()
        return own if self._lister is None else ApartServer(own, self._lister.serve_one())

    def tensors(self) -> dict[str, Tensor]:
        """Those of a learner, and the second theta."""
        return super().tensors() | named(self.listing or {}, LISTING)

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """See :meth:`Recommender.from_bundle`."""
        listing = part_of(bundle.tensors, LISTING)
        own = {n: value for n, value in bundle.tensors.items() if not n.startswith(LISTING)}
        learner = super().from_bundle(Bundle(bundle.kind, bundle.config, own))
        return learner.with_listing(listing) if listing else learner

    def to(self, device: torch.device | str) -> Self:
        """See :meth:`Recommender.to`."""
        moved = super().to(device)
        if self.listing is None:
            return moved
        return moved.with_listing({n: value.to(device) for n, value in self.listing.items()})

    @cached_property
    def _lister(self) -> Self | None:
        return None if self.listing is None else self.with_theta(self.listing)


class Newcomer(NamedTuple):
    """The user as known, who is adapted to by what is asked for."""

    items_S: Ints
    targets_S: Floats
    features_F: Floats


class ApartServer(Server):
    """Two servers, of which one rates and one ranks."""

    def __init__(self, rating: Server, ranking: Server) -> None:
        self._rating, self._ranking = rating, ranking

    def adapt(self, items_S: Ints, targets_S: Floats, features_F: Floats) -> Newcomer:
        """Nothing yet: a list alone costs a list alone."""
        return Newcomer(items_S, targets_S, features_F)

    def rank(self, state: Newcomer) -> Floats:
        """The one that ranks."""
        known: Any = self._ranking.adapt(*state)
        return self._ranking.rank(known)

    def score(self, state: Newcomer, items_Q: Ints) -> Ratings:
        """The one that rates."""
        known: Any = self._rating.adapt(*state)
        return self._rating.score(known, items_Q)
