"""What ratings say of a user of bayes_head, and the posterior that follows from it.

Weights are whitened, L^-1 w, for which the prior covariance is the identity. Of disjoint ratings
sums add up, which makes the online update exact.

Legend: B users, E features, X = E * E + 2 * E + 2 numbers of a user.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from coldstart.models.recommender import State


class Sums(NamedTuple):
    """What ratings say of a user.

    x and B d are whitened, and all but B d and the count is divided by the variance of the item's
    noise. Views of one tensor or array ``[B, X]``, since a state of few tensors is made faster.
    """

    second_BEE: Any  # E[x x']
    right_BE: Any  # E[x (y - offset)]
    choice_BE: Any  # B d
    square_B1: Any  # E[(y - offset)^2]
    count_B1: Any

    @classmethod
    def of(cls, sums_BX: Any) -> Sums:
        """Read the parts."""
        E = math.isqrt(sums_BX.shape[1] - 1) - 1  # X = (E + 1)^2 + 1
        return cls(
            sums_BX[:, : E * E].reshape(-1, E, E),
            sums_BX[:, E * E : E * E + E],
            sums_BX[:, E * E + E : -2],
            sums_BX[:, -2:-1],
            sums_BX[:, -1:],
        )


def solved(sums_BX: Tensor, attributes_BE: Tensor, damping: Tensor) -> State:
    """The state of users: the sums, the whitened prior mean of their attributes, the posterior's.

    ``damping`` is c of the prior mean.
    """
    sums = Sums.of(sums_BX)
    choice_BE = sums.choice_BE / (sums.count_B1 + damping)
    moment_BE = sums.right_BE + attributes_BE + choice_BE
    factor_BEE = torch.linalg.cholesky(precision(sums))
    mean_BE1 = torch.cholesky_solve(moment_BE.unsqueeze(-1), factor_BEE)
    return {"sums_BX": sums_BX, "attributes_BE": attributes_BE, "mean_BE": mean_BE1.squeeze(-1)}


def precision(sums: Sums) -> Tensor:
    """Of the posterior: ``[B, E, E]``."""
    second_BEE: Tensor = sums.second_BEE
    E = second_BEE.shape[-1]
    return torch.eye(E, dtype=second_BEE.dtype, device=second_BEE.device) + second_BEE


def exactness(state: State, shape: Tensor) -> Tensor:
    """Mean of t_u, whose prior is Gamma(shape, shape): ``[B, 1]``.

    It follows from the expected squared error of the support over its noise.
    """
    mean_BE, sums = state["mean_BE"], Sums.of(state["sums_BX"])
    factor_BEE = torch.linalg.cholesky(precision(sums))
    second_BEE = torch.cholesky_inverse(factor_BEE) + mean_BE.unsqueeze(-1) * mean_BE.unsqueeze(-2)
    error_B1: Tensor = sums.square_B1 - 2 * (sums.right_BE * mean_BE).sum(1, keepdim=True)
    error_B1 = error_B1 + (sums.second_BEE * second_BEE).sum((1, 2)).unsqueeze(-1)
    exactness_B1: Tensor = (shape + sums.count_B1 / 2) / (shape + error_B1 / 2)
    return exactness_B1
