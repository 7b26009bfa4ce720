"""What all baselines share: how they are fitted and how they become a bundle.

Legend of the package: B users, S support ratings, Q query items, N items with the unknown one,
F user features, D backbone features, K neighbours.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from torch import Tensor

from coldstart.data.choices import Chooser
from coldstart.data.episodes import History
from coldstart.models.backbone import Backbone
from coldstart.models.bundle import Bundle
from coldstart.models.recommender import Recommender
from coldstart.params import Section


class Empty(Section):
    """A baseline without parameters."""


class Baseline(Recommender):
    """A frozen dataclass: its tensor fields are fitted, the others are JSON values."""

    Params: ClassVar[type[Section]] = Empty
    """The baseline's section of ``params.yaml``, ``baselines.NAME``."""
    reads: ClassVar[str | None] = None
    """The backbone that it is fitted on, whatever meta-learners start from; None: it reads none."""

    @classmethod
    @abstractmethod
    def fit(
        cls, history: History, backbone: Backbone, validation: Chooser, params: Any, seed: int
    ) -> Self:
        """Fit on the historical users.

        Args:
            history: Ratings of historical users.
            backbone: Fitted on the same history; of kind ``reads`` if that is not None.
            validation: Episodes of users in neither ``history`` nor the cold users, whose queries
                are ratings that no evaluation reads; or what they chose, where ``history`` is
                everybody's. What is fitted on them goes through ``choose``.
            params: An instance of ``cls.Params``.
            seed: Of everything random.
        """

    def tensors(self) -> dict[str, Tensor]:
        """The tensor fields."""
        return {name: value for name, value in self._fields().items() if isinstance(value, Tensor)}

    def config(self) -> dict[str, Any]:
        """The other fields."""
        return {
            name: value for name, value in self._fields().items() if not isinstance(value, Tensor)
        }

    def _fields(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """The inverse of :meth:`to_bundle`."""
        return cls(**bundle.config, **bundle.tensors)


@dataclass(frozen=True)
class ItemTable(Baseline):
    """A baseline whose scores start from a number per item."""

    item_N: Tensor  # what a user of whom nothing is known gives an item, target units

    @property
    def n_items(self) -> int:  # type: ignore[override]
        """Length of the catalogue."""
        return len(self.item_N)
