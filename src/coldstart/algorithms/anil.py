"""ANIL: almost no inner loop (Raghu, Raghu, Bengio & Vinyals 2020).

MAML whose inner loop touches only the head: a user keeps the body, the layers that make features
of items, and fits the last linear layer on top of it. Meta-training moves both, the body through
its effect on how well heads fit (section 5). Deviations: the head reads the items' own features
beside the last hidden layer (``skip``); otherwise those of :mod:`~coldstart.algorithms.maml`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from coldstart.algorithms._gradient import GradientLearner, OuterParams


class ANILParams(OuterParams):
    """MAML's, with nothing to choose about what adapts."""

    adapt: Literal["head"] = Field(description="What a user adapts: the head, by definition.")


class ANIL(GradientLearner[ANILParams]):
    """The head adapts, the body is shared by all users."""

    kind = "anil"
    Params = ANILParams
    second_order = True

    def outer_rate(self, step: int, max_steps: int) -> float:
        """Constant."""
        return self.params.outer_rate
