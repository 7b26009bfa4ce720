"""The unit that methods work in: ratings around 0, as far apart as stars usually are.

Learning rates, penalties, priors and thresholds are numbers without a unit only if what they act
on has none. So ratings are standardised once, where prepared data is handed out, and predictions
are turned back once, where results or recommendations leave: in between nothing knows the scale
of a dataset, and the same ratings in another affine unit are the same numbers.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SPREAD = 1.12
"""Standard deviation of standardised ratings: that of the stars of ml-100k, on which the numbers
of ``params.yaml`` were chosen. One unit is then about one star."""
EQUAL = 1e-9
"""Ratings that differ by less than this share of the largest are equal but for rounding."""


class Unit(NamedTuple):
    """``target = (rating - centre) / scale``; as it stands, ratings are targets already."""

    centre: float = 0.0
    scale: float = 1.0

    @classmethod
    def of(cls, ratings_R: NDArray[np.float64]) -> Self:
        """Mean 0 and standard deviation ``SPREAD``; equal ratings are only centred.

        Works on the ratings' place between lowest and highest, so that no square overflows.
        """
        if not len(ratings_R):
            return cls()
        low, high = float(ratings_R.min()), float(ratings_R.max())
        if high - low <= EQUAL * max(abs(low), abs(high)):
            return cls(low, 1.0)
        place_R = (ratings_R - low) / (high - low)
        return cls(
            low + (high - low) * float(place_R.mean()), (high - low) * float(place_R.std()) / SPREAD
        )

    def target(self, rating: float) -> float:
        """Rating points to a target."""
        return (rating - self.centre) / self.scale

    def rating(self, target: float) -> float:
        """A target to rating points."""
        return target * self.scale + self.centre

    def inside(self, ratings: Tensor) -> Tensor:
        """Rating points to targets, as float32.

        Computed in float64: what differs by the rounding of another unit ends as the same float32.
        """
        return ((ratings.double() - self.centre) / self.scale).float()

    def outside(self, targets: Tensor) -> Tensor:
        """Targets to rating points, as float64."""
        return targets.double() * self.scale + self.centre

    def variance_outside(self, variances: Tensor) -> Tensor:
        """Squared targets to squared rating points, as float64."""
        return variances.double() * self.scale**2


def like_border(ratings_R: NDArray[np.float64], like: float, scale: tuple[float, float]) -> float:
    """Half-way between the highest rating below ``like`` and the lowest from it on.

    That is where a latent rating turns into a like: with stars and likes from 4 on, at 3.5. Where
    one of the two does not occur, the end of the scale stands for it.
    """
    low, high = scale
    liked_R = ratings_R >= like
    below = ratings_R[~liked_R].max(initial=low)
    above = ratings_R[liked_R].min(initial=high)
    return float(below / 2 + above / 2)


def tensor_of(values: NDArray[np.float64]) -> Tensor:
    """As float64, whatever the column was read as."""
    return torch.from_numpy(np.array(values, dtype=np.float64))
