"""``average``: the mean, in weight space, of checkpoints of one meta-learner.

Stochastic weight averaging (Izmailov et al. 2018) with a cyclical step size: from the trained theta
the outer loop goes on for a few cycles, in each of which the step size falls from the learner's
first to its last; the theta at the end of each cycle and the one at the start are averaged with
equal weights. The result is the same method at another theta, so its bundle is of that method's
kind, and to adapt costs what it cost before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field, field_validator

from coldstart.algorithms import ALGORITHMS
from coldstart.algorithms._base import MetaLearner, Theta
from coldstart.combinations.base import Combination, Ingredients
from coldstart.params import Section, search
from coldstart.training.loop import Sampler
from coldstart.training.run import Run


class AverageParams(Section):
    """Which meta-learner, and how far its training goes on."""

    of: str = Field(description="The meta-learner whose checkpoints are averaged.")
    cycles: int = Field(
        ge=1, json_schema_extra=search(1, 8), description="Checkpoints besides the trained one."
    )
    steps: int = Field(
        ge=1,
        json_schema_extra=search(5, 80, log=True),
        description="Meta-updates between two of them.",
    )

    @field_validator("of")
    @classmethod
    def _meta_trained(cls, name: str) -> str:
        if name not in ALGORITHMS or not ALGORITHMS[name].meta_trained:
            raise ValueError("is not meta-trained: it has no checkpoints to average")
        return name


class Average(Combination):
    """The recipe; what it makes is a :class:`MetaLearner`."""

    Params: ClassVar[type[Section]] = AverageParams
    least: ClassVar[int] = 1

    @staticmethod
    def wanted(section: AverageParams) -> tuple[str, ...]:
        """The meta-learner."""
        return (section.of,)

    @classmethod
    def make(cls, section: AverageParams, ingredients: Ingredients) -> MetaLearner[Any]:
        """Go on training on the historical users, and average."""
        saved = ingredients.methods[section.of]
        assert isinstance(saved, MetaLearner)
        learner = type(saved)(ingredients.backbone, saved.params, saved.head, saved.theta)
        loop = ingredients.params.meta_train.loop.model_copy(update={"max_steps": section.steps})
        thetas, sampler = [learner.theta], ingredients.episodes()
        for _ in range(section.cycles):
            run = Run(learner.with_theta(thetas[-1]), loop)
            _cycle(run, sampler, section.steps)
            thetas.append(run.theta)
        return learner.with_theta(mean_of(thetas))


def mean_of(thetas: Sequence[Theta]) -> Theta:
    """The mean of each tensor."""
    return {name: torch.stack([theta[name] for theta in thetas]).mean(0) for name in thetas[0]}


def _cycle(run: Run, sampler: Sampler, steps: int) -> None:
    for _ in range(steps):
        run.advance(sampler.sample(), "average")
