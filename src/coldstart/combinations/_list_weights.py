"""How much each signal of a list counts after K ratings.

    score_i = choice_i + (1 + a_K) like_i + c_K company_i

``a_0`` and ``c_0`` are 0, and for K > 0 they are linear in log(1 + K). With 0 an item is ranked by
the chance that it is chosen and liked: strangers are. The weights are learnt from
:mod:`~coldstart.combinations._list_lessons`: the items that the user likes are to have most of a
softmax over the catalogue, ``-log sum_{i liked} p_i``. A list is a few items on top, and this loss
asks for no more than that some likes stand there; the usual mean of ``-log p_i`` over all likes
asks for every one of them, tail included, and made worse lists. The softmax has a temperature for
each K, which orders nothing.

Legend: L lessons, Z candidates, J signals but the choice, X terms of log(1 + K), K shots.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from coldstart.combinations._list_lessons import Lessons

Floats = NDArray[np.floating[Any]]
_NEVER = -1e9
_STEPS = 60
_HELD = 1e-4
"""Penalty of the squared logarithm of the temperature, which has no optimum where all are liked."""


def weights_by_shots(lessons: Lessons, shrinkage: float, most: int) -> Tensor:
    """What the signals but the choice count after K = 0, ..., ``most`` ratings: ``[K, J]``.

    Args:
        lessons: where there is none, the weights are those of the start.
        shrinkage: penalty of the mean square of what the weights add to a score, in standard
            deviations of it, against the start.
        most: largest K.
    """
    terms_KX = _terms(torch.arange(most + 1))
    start_J = torch.tensor([1.0, 0.0])
    if not len(lessons.count_L):
        return start_J.expand(most + 1, -1).clone()
    weights_KJ: Tensor = start_J + terms_KX @ _fit(lessons, shrinkage)
    return weights_KJ


def _terms(count_L: Tensor) -> Tensor:
    """Whether K > 0, and log(1 + K): ``[L, X]``."""
    return torch.stack([(count_L > 0).float(), count_L.float().log1p()], 1)


def _fit(lessons: Lessons, shrinkage: float) -> Tensor:
    """Coefficients of a and c: ``[X, J]``."""
    signals_LZJ = lessons.signals_LZJ
    size_J = _spread(signals_LZJ[..., 1:], lessons.log_weight_LZ)
    scaled_LZJ = signals_LZJ[..., 1:] / size_J
    start_LZ = signals_LZJ[..., :2].sum(-1)
    terms_LX = _terms(lessons.count_L)
    n_terms = terms_LX.shape[1]

    def loss_of(theta: Floats) -> tuple[float, Floats]:
        theta_X3 = torch.from_numpy(theta).float().reshape(n_terms, 3).requires_grad_()
        with torch.enable_grad():
            found_L3 = terms_LX @ theta_X3
            log_heat_L1, added_LJ = found_L3[:, :1], found_L3[:, 1:]
            score_LZ = start_LZ + (scaled_LZJ @ added_LJ.unsqueeze(-1)).squeeze(-1)
            score_LZ = (log_heat_L1.exp() * score_LZ + lessons.log_weight_LZ).clamp(min=_NEVER)
            liked_LZ = score_LZ.masked_fill(~lessons.liked_LZ, _NEVER)
            loss = (score_LZ.logsumexp(1) - liked_LZ.logsumexp(1)).mean()
            loss = loss + shrinkage * added_LJ.square().sum(1).mean()
            loss = loss + _HELD * log_heat_L1.square().mean()
            (gradient_X3,) = torch.autograd.grad(loss, theta_X3)
        return float(loss.detach()), gradient_X3.double().numpy().ravel()

    start = np.zeros(n_terms * 3)
    found = minimize(loss_of, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    theta_X3 = torch.from_numpy(found.x).float().reshape(n_terms, 3)
    return theta_X3[:, 1:] / size_J


def _spread(signals_LZJ: Tensor, log_weight_LZ: Tensor) -> Tensor:
    """Typical standard deviation of each signal within a lesson's candidates: ``[J]``.

    1 where a signal is the same for all items: it orders nothing and its weight stays.
    """
    here_LZ1 = log_weight_LZ.isfinite().unsqueeze(-1)
    count_L1 = here_LZ1.sum(1).clamp(min=1)
    mean_LJ = (signals_LZJ * here_LZ1).sum(1) / count_L1
    rest_LZJ = (signals_LZJ - mean_LJ.unsqueeze(1)) * here_LZ1
    spread_J = (rest_LZJ.square().sum(1) / count_L1).mean(0).sqrt()
    return torch.where(spread_J > 1e-6, spread_J, 1.0)
