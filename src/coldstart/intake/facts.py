"""What the interactions amount to: who, what, how often, on which scale."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_LEVELS = 1_000  # distinct ratings that are told apart


@dataclass
class Facts:
    """Counts that grow with each part; memory: 16 bytes a row and the distinct keys."""

    rows: int = 0
    ratings: Counter[float] = field(default_factory=Counter)  # empty past too many levels
    lowest: float = np.inf
    highest: float = -np.inf
    first: float = np.inf  # seconds since 1970
    last: float = -np.inf
    events: Counter[str] = field(default_factory=Counter)
    users: dict[str, int] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)
    undescribed: dict[str, float] = field(default_factory=dict)  # share, by kind of metadata
    _pairs: list[NDArray[np.int64]] = field(default_factory=list)
    _too_many: bool = False

    def add(self, part: pd.DataFrame) -> None:
        """Count a part with ``user``, ``item`` as text; ``rating``, ``timestamp`` as numbers."""
        self.rows += len(part)
        user = _codes(part["user"], self.users)
        self._pairs.append((user << 32) | _codes(part["item"], self.items))
        if "rating" in part and len(part):
            values, counts = np.unique(part["rating"].to_numpy(), return_counts=True)
            self.lowest = min(self.lowest, float(values[0]))
            self.highest = max(self.highest, float(values[-1]))
            if not self._too_many:
                self.ratings.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
                if len(self.ratings) > _LEVELS:
                    self._too_many = True
                    self.ratings.clear()
        if "timestamp" in part and len(part):
            self.first = min(self.first, float(part["timestamp"].min()))
            self.last = max(self.last, float(part["timestamp"].max()))
        if "event" in part:
            self.events.update(part["event"].tolist())

    @property
    def rated(self) -> bool:
        """Whether there are ratings, and they say more than that they are there."""
        return self.lowest < self.highest

    def histories(self) -> NDArray[np.int64]:
        """Number of different items of each user."""
        pairs = np.unique(np.concatenate(self._pairs))
        return np.bincount(pairs >> 32, minlength=len(self.users))

    def repeats(self) -> int:
        """Rows whose user and item some earlier row has."""
        return self.rows - len(np.unique(np.concatenate(self._pairs)))


def _codes(values: pd.Series, known: dict[str, int]) -> NDArray[np.int64]:
    codes, distinct = pd.factorize(values)
    of = np.array([known.setdefault(key, len(known)) for key in distinct], dtype=np.int64)
    return of[codes]
