"""A method that lives as long as its measurement."""

from __future__ import annotations

from typing import Any, Self

from torch import Tensor

from coldstart.models.bundle import Bundle
from coldstart.models.recommender import Recommender


class Unbundled(Recommender):
    """Compared in the process that fitted it: there is no bundle of it."""

    def tensors(self) -> dict[str, Tensor]:
        """Refused."""
        raise NotImplementedError(f"{self.kind}: has no bundle")

    def config(self) -> dict[str, Any]:
        """Refused."""
        raise NotImplementedError(f"{self.kind}: has no bundle")

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """Refused."""
        raise NotImplementedError(f"{cls.kind}: has no bundle")
