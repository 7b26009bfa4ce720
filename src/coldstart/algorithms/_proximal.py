"""The inner problem of proximal meta-learning: ``L_S(phi) + lambda / 2 ||phi - theta||^2``.

The distance counts a weight ``fan_in`` times, which is the plain one in the coordinates
``sqrt(fan_in) w`` in which :class:`FanInSGD` is plain gradient descent: there everything is as in
the papers, and one lambda binds all layers alike.

Legend: B users.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field
from torch import Tensor

from coldstart.algorithms._gradient import InnerParams
from coldstart.algorithms._inner_loop import Weights, fan_in
from coldstart.params import search


class ProximalParams(InnerParams):
    """The same, held near theta."""

    proximity: float = Field(
        gt=0,
        le=100,
        json_schema_extra=search(0.05, 5, log=True),
        description="Lambda: weight of half the squared distance to theta in the inner problem.",
    )


def proximal_loss(
    loss_of: Callable[[Weights], Tensor], start: Weights, proximity: float
) -> Callable[[Weights], Tensor]:
    """Per-user ``loss + proximity / 2 * distance^2`` to ``start``: ``[B]`` of weights."""

    def loss(weights: Weights) -> Tensor:
        total_B = loss_of(weights)
        for name, w in weights.items():
            square_B = (w - start[name]).square().sum((-2, -1))
            total_B = total_B + 0.5 * proximity * fan_in(w) * square_B
        return total_B

    return loss
