"""What is known of a user by *which* items they rated: the posterior of the model of exposure.

``x_ui = p_i + v_i . z_u + e`` with ``z_u ~ N(A x_u, I)`` and ``e ~ N(0, s2)``, where all that is
known are ones (:mod:`coldstart.models.exposure` fits it). The mean of ``z`` has two forms, which
are equal (Woodbury):

    m + V' (V V' + s2 I)^-1 (1 - p - V m)    as many equations as ratings
    m + (V' V + s2 I)^-1 V' (1 - p - V m)    as many as factors

A list may have 192 factors and a newcomer 3 ratings, so the smaller one is solved. Nothing but the
mean is read; so an update solves again for all ratings, which are few.

Legend: B users, S ratings of each, C cross-fitted tables, N items, F user features, E factors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg.lapack import sposv
from torch import Tensor
from torch.nn.functional import pad

from coldstart.data.episodes import Support
from coldstart.models.backbone import Exposure
from coldstart.models.foldin import expected
from coldstart.models.recommender import State
from coldstart.models.server import Floats, Ints

Singles = NDArray[np.float32]


class Choosing(NamedTuple):
    """The model, into which users are folded."""

    exposure: Exposure
    noise: Tensor  # s2, a scalar

    def adapt(self, support: Support) -> State:
        """Posterior means, and what an update needs; ratings are not read.

        Items come from each user's cross-fitted table.
        """
        before_BE = expected(self.exposure.prior_CFE, support)
        return self._solved(support.items_BS, support.mask_BS, support.crossfit_B, before_BE)

    def update(self, state: State, items_B: Tensor) -> State:
        """One more choice of each user, who is new."""
        items_BS = torch.cat([state["items_BS"], items_B.unsqueeze(1)], 1)
        mask_BS = pad(state["mask_BS"], (0, 1), value=True)
        return self._solved(items_BS, mask_BS, torch.zeros_like(items_B), state["before_BE"])

    def _solved(
        self, items_BS: Tensor, mask_BS: Tensor, table_B: Tensor, before_BE: Tensor
    ) -> State:
        at = table_B.unsqueeze(1), items_BS
        v_BSE = self.exposure.factors_CNE[at] * mask_BS.unsqueeze(-1)
        surprise_BS = (1 - self.exposure.share_CN[at]) * mask_BS
        surprise_BS = surprise_BS - (v_BSE @ before_BE.unsqueeze(-1)).squeeze(-1)
        return {
            "mean_BE": before_BE + _step(v_BSE, surprise_BS, self.noise),
            "before_BE": before_BE,
            "items_BS": items_BS,
            "mask_BS": mask_BS,
        }


def _step(v_BSE: Tensor, surprise_BS: Tensor, noise: Tensor) -> Tensor:
    """What choices add to the prior mean; a row of zeros adds nothing: ``[B, E]``."""
    n_ratings, n_factors = v_BSE.shape[1:]
    few = n_ratings < n_factors
    gram = v_BSE @ v_BSE.mT if few else v_BSE.mT @ v_BSE
    factor = torch.linalg.cholesky(gram + noise.expand(gram.shape[-1]).diag())
    surprise_BS1 = surprise_BS.unsqueeze(-1)
    if few:
        step_BE1 = v_BSE.mT @ torch.cholesky_solve(surprise_BS1, factor)
    else:
        step_BE1 = torch.cholesky_solve(v_BSE.mT @ surprise_BS1, factor)
    return step_BE1.squeeze(-1)


class Chosen(NamedTuple):
    """What is known of one user."""

    mean_E: Singles
    before_E: Singles
    size: int  # number of ratings


class ChoosingServer:
    """The same for one user alone, in numpy."""

    def __init__(self, model: Choosing) -> None:
        """Lay out the table of new users."""
        with torch.inference_mode(False), torch.no_grad():
            share_CN, factors_CNE, prior_CFE, _ = model.exposure
            self._factors_NE = factors_CNE[0].float().numpy()
            self._factors_EN = np.ascontiguousarray(self._factors_NE.T)
            self._share_N = share_CN[0].float().numpy()
            self._rest_N = 1 - self._share_N
            self._prior_FE = prior_CFE[0].float().numpy()
            self._noise = np.float32(model.noise)

    def adapt(self, items_S: Ints, features_F: Floats) -> Chosen:
        """The posterior of ``z``."""
        before_E: Singles = features_F.dot(self._prior_FE)
        n_ratings = len(items_S)
        if not n_ratings:
            return Chosen(before_E, before_E, 0)
        v_SE = self._factors_NE.take(items_S, 0)
        surprise_S = self._rest_N.take(items_S) - v_SE.dot(before_E)
        if n_ratings < v_SE.shape[1]:
            step_E = v_SE.T.dot(self._solve(v_SE.dot(v_SE.T), surprise_S))
        else:
            step_E = self._solve(v_SE.T.dot(v_SE), v_SE.T.dot(surprise_S))
        return Chosen(before_E + step_E, before_E, n_ratings)

    def expected(self, z_E: Singles) -> Singles:
        """``p_i + v_i . z`` of all items: ``[N]``, an array that the caller may change."""
        expected_N: Singles = z_E.dot(self._factors_EN)
        expected_N += self._share_N
        return expected_N

    def _solve(self, gram: Singles, right: Singles) -> Singles:
        gram.flat[:: len(gram) + 1] += self._noise
        solved: tuple[Singles, Singles, int] = sposv(gram, right)
        _, found, info = solved
        if info:
            raise np.linalg.LinAlgError("the covariance of a user's choices is not positive")
        return found
