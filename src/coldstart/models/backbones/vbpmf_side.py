"""One side of the factorisation of :mod:`coldstart.models.backbones.vbpmf`: users, or items.

Every entity has a normal posterior; their prior is a linear map of side information, with a
covariance that all share. Both are estimated from the posteriors.

Legend: E entities, D features with the constant first, G side features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from coldstart.models.backbones.mf import Array, constant_first
from coldstart.models.blocks import blocks
from coldstart.models.floors import LEAST_SPREAD
from coldstart.models.foldin import posterior

MOST = 1e6
"""Largest penalty that is estimated, a guard: that of what says nothing grows with every sweep, by
the number of users at most."""


class Gaussians(NamedTuple):
    """Independent normal posteriors of the entities of one side."""

    mean: Array  # [E, D]
    covariance: Array  # [E, D, D]


class Design(NamedTuple):
    """Expected statistics of one side, as the regressions of the other side read them."""

    x: Array  # [E, D]: E[(1, factors)]
    second: Array  # [E, D, D]: E[x x']
    cross: Array  # [E, D]: E[offset x]

    def times(self, weight_E: Array) -> Design:
        """Where a rating of entity e counts ``weight_E[e]`` times."""
        return Design(
            self.x * weight_E[:, None],
            self.second * weight_E[:, None, None],
            self.cross * weight_E[:, None],
        )


class Moments(NamedTuple):
    """Sums over the ratings of each entity; sums over disjoint sets of ratings add up."""

    gram: Array  # [E, D, D]: E[x x']
    right: Array  # [E, D]: y E[x] - E[offset x]
    cross: Array  # [E, D]: E[offset x]

    def times(self, weight_E: Array) -> Moments:
        """Where a rating of entity e counts ``weight_E[e]`` times."""
        return Moments(
            self.gram * weight_E[:, None, None],
            self.right * weight_E[:, None],
            self.cross * weight_E[:, None],
        )

    def less(self, other: Moments) -> Moments:
        """Without the ratings of ``other``."""
        return Moments(*(mine - theirs for mine, theirs in zip(self, other, strict=True)))


@dataclass
class Side:
    """Users or items: their posteriors and their prior, a linear map of side information."""

    posterior: Gaussians
    features: Array  # [E, 1 + G], a constant first
    active: NDArray[np.bool_]  # [E], who has a rating
    prior_map: Array  # [1 + G, D]
    prior_covariance: Array  # [D, D]
    penalty: Array  # [1 + G], of the map; none on the constant
    relevance: bool  # whether the penalties are estimated too

    def design(self) -> Design:
        """Expected statistics of these entities."""
        mean, covariance = self.posterior
        x = constant_first(mean)
        second = x[:, :, None] * x[:, None, :]
        second[:, 1:, 1:] += covariance[:, 1:, 1:]
        cross = mean[:, :1] * x + covariance[:, 0, :]
        cross[:, 0] = mean[:, 0]
        return Design(x, second, cross)

    def solve(self, moments: Moments, noise: float) -> Gaussians:
        """Posteriors given ratings; an entity without any gets its prior."""
        prior, precision = self.features @ self.prior_map, np.linalg.inv(self.prior_covariance)
        solved = Gaussians(np.empty_like(moments.right), np.empty_like(moments.gram))
        for part in blocks(len(prior)):
            known = (moments.gram[part] / noise, moments.right[part] / noise)
            found = posterior(*map(torch.from_numpy, (*known, prior[part], precision)))
            solved.mean[part] = found.mean.numpy()
            solved.covariance[part] = found.covariance.numpy()
        return solved

    def refit_prior(self) -> None:
        """Map, covariance and, where they are estimated, penalties from the posteriors.

        Only the n entities with a rating count. With ``H`` the hat matrix of the map's regression,
        the covariance divides by ``n - tr H`` and not by ``n``, which is what an expectation over
        the map comes to. The maximum of the evidence would also add the prior's own share, ``W'aW``
        (decision 82).
        """
        mean, covariance = (part[self.active] for part in self.posterior)
        features = self.features[self.active]
        gram = features.T @ features
        uncertainty = np.linalg.inv(gram + np.diag(self.penalty))  # in units of the covariance
        self.prior_map = uncertainty @ features.T @ mean
        rest = mean - features @ self.prior_map
        freedom = len(rest) - np.trace(uncertainty @ gram)
        total = rest.T @ rest + covariance.sum(axis=0)
        spread = total / max(freedom, 1.0)  # of one entity the constant leaves none
        self.prior_covariance = spread + LEAST_SPREAD * np.eye(len(spread))
        if self.relevance:
            self.penalty = self._likeliest_penalty(np.diag(uncertainty))

    def shift(self, by: Array) -> None:
        """Add ``by`` to all means, and to what the map predicts."""
        self.posterior = self.posterior._replace(mean=self.posterior.mean + by)
        self.prior_map[0] += by

    def turn(self, by: Array) -> None:
        """Express everything in the coordinates that the linear map ``by`` leads to."""
        mean, covariance = self.posterior
        self.posterior = Gaussians(mean @ by.T, by @ covariance @ by.T)
        self.prior_map = self.prior_map @ by.T
        self.prior_covariance = by @ self.prior_covariance @ by.T

    def _likeliest_penalty(self, uncertainty: Array) -> Array:
        """``D / E[w' Lambda^-1 w]`` for each row of the map, the step of EM: ``[1 + G]``."""
        rows, D = self.prior_map, self.prior_map.shape[1]
        size = (rows @ np.linalg.inv(self.prior_covariance) * rows).sum(1) + D * uncertainty
        penalty = np.asarray((D / size).clip(1 / MOST, MOST), dtype=np.float64)
        penalty[0] = 0
        return penalty
