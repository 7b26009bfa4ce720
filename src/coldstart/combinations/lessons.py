"""What a student learns from: training episodes, and what the teacher makes of them.

The teacher adapts to the supports of historical users. Its item tables have seen those users'
ratings, but a lesson is not a claim about them: it is one value of the function from a support to
scores, which the student is to imitate.

Legend: T lessons (users), Q items scored in each, N items, E components, F user features.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from coldstart.data.episodes import Episodes, Support
from coldstart.models.recommender import Recommender
from coldstart.training.loop import Sampler

BATCHES = 64
"""Batches of lessons drawn."""
ANALYSED = 8
"""Of these, how many find the components."""
DRAWN = 32
"""Items of each lesson that are drawn from the whole catalogue, rated by the user or not."""
DAMPING = 10.0
"""Ridge penalty of the components' regression on attributes, in users."""


class Components(NamedTuple):
    """The teacher's predictions for a whole catalogue are ``mean + loadings . components``."""

    mean_N: Tensor
    loadings_NE: Tensor  # scaled so that components have unit variance
    attributes_FE: Tensor  # components of a user without support: attributes @ this

    def of(self, catalogue_TN: Tensor) -> Tensor:
        """Least squares: ``[T, E]``."""
        square_E = self.loadings_NE.square().sum(0).clamp(min=1e-12)
        return (catalogue_TN - self.mean_N) @ self.loadings_NE / square_E


class Lessons(NamedTuple):
    """``T`` episodes of historical users, and the teacher's scores."""

    support: Support
    items_TQ: Tensor  # the query, then items drawn
    mask_TQ: Tensor  # False where the query is padded
    rated_TQ: Tensor  # whether there is a true target
    targets_TQ: Tensor
    teacher_TQ: Tensor
    components_TE: Tensor

    def rows(self, index: Tensor) -> Lessons:
        """The same for some of the lessons."""
        return Lessons(self.support.rows(index), *(field[index] for field in self[1:]))


@torch.no_grad()
def lessons(
    teacher: Recommender, sampler: Sampler, factors: int, seed: int
) -> tuple[Lessons, Components]:
    """Ask the teacher.

    Args:
        teacher: a fitted method.
        sampler: draws training episodes.
        factors: components to keep, ``E``; fewer where the teacher has no more.
        seed: of the items drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    batches = [sampler.sample() for _ in range(BATCHES)]
    found = components(teacher, [batch.support for batch in batches[:ANALYSED]], factors)
    parts = [_ask(teacher, batch, found, generator) for batch in batches]
    support = Support(*map(torch.cat, zip(*(part.support for part in parts), strict=True)))
    rest = map(torch.cat, zip(*(part[1:] for part in parts), strict=True))
    return Lessons(support, *rest), found


def components(teacher: Recommender, supports: list[Support], factors: int) -> Components:
    """Principal components of what the teacher predicts for the catalogue, with support or without.

    The Gram matrix of users is the small one: it is decomposed, in float64.
    """
    asked = [support for known in supports for support in (known, known.first(0))]
    catalogue_TN = torch.cat([teacher.score_catalogue(teacher.adapt(s)).mean for s in asked])
    mean_N = catalogue_TN.mean(0)
    rest_TN = (catalogue_TN - mean_N).double()
    scale, turn_TT = torch.linalg.eigh(rest_TN @ rest_TN.mT)
    E = min(factors, len(scale))
    left_TE = turn_TT.flip(1)[:, :E]
    loadings_NE = rest_TN.mT @ left_TE / len(rest_TN) ** 0.5
    found = Components(mean_N, _signed(loadings_NE).float(), torch.empty(0))
    empty = torch.cat([teacher.score_catalogue(teacher.adapt(s.first(0))).mean for s in supports])
    users_TF = torch.cat([support.users_BF for support in supports]).double()
    gram_FF = users_TF.mT @ users_TF + DAMPING * torch.eye(users_TF.shape[1]).double()
    attributes_FE = torch.linalg.solve(gram_FF, users_TF.mT @ found.of(empty).double())
    # by row, as it lies when read from a bundle: products differ by that in the last bit
    return found._replace(attributes_FE=attributes_FE.float().contiguous())


def _signed(loadings_NE: Tensor) -> Tensor:
    """The same with each component's sum positive; the decomposition leaves the sign open."""
    return loadings_NE * torch.where(loadings_NE.sum(0) < 0, -1.0, 1.0)


def _ask(
    teacher: Recommender, episodes: Episodes, found: Components, generator: torch.Generator
) -> Lessons:
    catalogue_TN = teacher.score_catalogue(teacher.adapt(episodes.support)).mean
    size = (episodes.n_users, DRAWN)
    drawn_TQ = torch.randint(1, catalogue_TN.shape[1], size, generator=generator)
    items_TQ = torch.cat([episodes.items_BQ, drawn_TQ], 1)
    nothing_TQ = torch.zeros(size)
    return Lessons(
        support=episodes.support,
        items_TQ=items_TQ,
        mask_TQ=torch.cat([episodes.mask_BQ, ~nothing_TQ.bool()], 1),
        rated_TQ=torch.cat([episodes.mask_BQ, nothing_TQ.bool()], 1),
        targets_TQ=torch.cat([episodes.targets_BQ, nothing_TQ], 1),
        teacher_TQ=catalogue_TN.gather(1, items_TQ),
        components_TE=found.of(catalogue_TN),
    )
