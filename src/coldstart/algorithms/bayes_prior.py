"""The prior of bayes_head's users: which weights, and how far apart, before any rating.

``w ~ N(A x_u + f(x_u) + sum_i B d_i / (K + c), L L')``: A, B and c are the backbone's, the network
f with one hidden layer starts at zero, L at the backbone's covariance. Trained along, A and B only
overfit; f, which sees attributes together, does not.

Legend: B users, E features, F user features, H hidden units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from coldstart.algorithms.base import Theta
from coldstart.models.backbone import Backbone

PACE = 0.1
"""Steps of the covariance beside those of the network: it is nearly right from the start."""
INPUT = 0.5
"""Standard deviation of the first layer: of a user's attributes, some four are not small."""


def initial_prior(backbone: Backbone, hidden: int, seed: int) -> Theta:
    """The prior that comes with the backbone."""
    lower_EE = torch.linalg.cholesky(backbone.prior_DD)
    F, E = backbone.prior_FD.shape
    drawn_FH = torch.randn(F, hidden, generator=torch.Generator().manual_seed(seed))
    return {
        "lower_EE": lower_EE.tril(-1) / PACE,
        "log_diagonal_E": lower_EE.diagonal().log() / PACE,
        "user_FH": (INPUT * drawn_FH).to(lower_EE.dtype),
        "user_H": lower_EE.new_zeros(hidden),
        "user_HE": lower_EE.new_zeros(hidden, E),
    }


def lower(theta: Theta) -> Tensor:
    """Cholesky factor of the prior covariance: ``[E, E]``."""
    return PACE * theta["lower_EE"].tril(-1) + torch.diag((PACE * theta["log_diagonal_E"]).exp())


def mean_of_attributes(theta: Theta, backbone: Backbone, users_BF: Tensor) -> Tensor:
    """``A x_u + f(x_u)``: ``[B, E]``."""
    hidden_BH = torch.relu(users_BF @ theta["user_FH"] + theta["user_H"])
    return users_BF @ backbone.prior_FD + hidden_BH @ theta["user_HE"]


def whiten(lower_EE: Tensor, weights_BE: Tensor) -> Tensor:
    """``L^-1 w`` for each row."""
    solved_EB: Tensor = torch.linalg.solve_triangular(lower_EE, weights_BE.mT, upper=False)
    return solved_EB.mT
