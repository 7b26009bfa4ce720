"""To serve a user of bayes_head in numpy, on the tensors' own memory.

For one user, dispatch is most of the cost of a torch call. A user is a sum of vectors that are
fixed per item, and a small solve.

Legend: B users, S support, N items, E features, F user features, X numbers of
:class:`~coldstart.algorithms._bayes_sums.Sums`, Y = X + E + 2 of an item.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from coldstart.algorithms._bayes_sums import Sums
from coldstart.data.episodes import Support


class Served(NamedTuple):
    """What serving reads, fixed once meta-training is over.

    Of an item, ``rows_NY`` has what a rating y of it adds to a user: the X numbers of
    :class:`Sums`, E that are taken y times and added to ``right``, and two that are taken y and
    y^2 times and added to ``square``.
    """

    rows_NY: NDArray[Any]
    attributes_FE: NDArray[Any]  # whitened A
    eye_EE: NDArray[Any]
    damping: float
    phi_EN: NDArray[Any]
    offset_N: NDArray[Any]

    def sums(self, support: Support) -> NDArray[Any]:
        """What ratings add to users: ``[B, X]``."""
        E, (n_users, S) = len(self.eye_EE), support.items_BS.shape
        powers_B3S = np.empty((n_users, 3, S), self.rows_NY.dtype)
        powers_B3S[:, 0] = support.mask_BS.numpy()
        targets_BS = support.targets_BS.numpy()
        np.multiply(targets_BS, powers_B3S[:, 0], out=powers_B3S[:, 1])
        np.multiply(targets_BS, powers_B3S[:, 1], out=powers_B3S[:, 2])
        sums_B3Y: NDArray[Any] = powers_B3S @ self.rows_NY.take(support.items_BS.numpy(), 0)
        ones_BX, y_BE1 = sums_B3Y[:, 0, : -E - 2], sums_B3Y[:, 1, -E - 2 : -1]
        ones_BX[:, E * E : E * E + E] += y_BE1[:, :-1]
        ones_BX[:, -2:-1] += y_BE1[:, -1:] + sums_B3Y[:, 2, -1:]
        return ones_BX

    def mean(self, sums_BX: NDArray[Any], attributes_BE: NDArray[Any]) -> NDArray[Any]:
        """The whitened posterior mean, as in ``bayes_sums.solved``: ``[B, E]``."""
        sums = Sums.of(sums_BX)
        choice_BE = sums.choice_BE / (sums.count_B1 + self.damping)
        moment_BE = sums.right_BE + attributes_BE + choice_BE
        mean_BE: NDArray[Any] = np.linalg.solve(
            sums.second_BEE + self.eye_EE, moment_BE[..., None]
        )[..., 0]
        return mean_BE

    def catalogue(self, mean_BE: NDArray[Any]) -> NDArray[Any]:
        """Predicted means of all items: ``[B, N]``."""
        mean_BN: NDArray[Any] = mean_BE @ self.phi_EN
        mean_BN += self.offset_N
        return mean_BN
