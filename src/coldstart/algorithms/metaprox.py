"""Meta-MinibatchProx (Zhou et al. 2019, algorithm 1): theta <- theta - eta lambda (theta - phi*).

phi* = argmin L(phi) + lambda / 2 ||phi - theta||^2 on all of a training user's ratings, as in
Reptile, whose update this is apart from the pull towards theta inside. ``lambda (theta - phi*)`` is
the gradient of the inner minimum with respect to theta (its Moreau envelope). Deviations: phi* is
approached by ``inner_steps`` gradient steps (the paper allows inexact solutions), distances are
those of :mod:`~coldstart.algorithms._proximal`, a rating's weight follows ``shrinkage`` as in MAML,
and eta falls linearly to 0. ``outer_rate`` is eta lambda, the share of the way to phi*.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from coldstart.algorithms._base import Theta
from coldstart.algorithms._inner_loop import Weights
from coldstart.algorithms._interpolation import Interpolation, InterpolationParams
from coldstart.algorithms._proximal import ProximalParams, proximal_loss
from coldstart.data.episodes import Support


class MetaProxParams(ProximalParams, InterpolationParams):
    """Proximal inner problem, outer steps of natural size 1."""


class MetaProx(Interpolation[MetaProxParams]):
    """Moves theta towards where training that is held near theta leads."""

    kind = "metaprox"
    Params = MetaProxParams

    def inner_loss(self, theta: Theta, support: Support) -> Callable[[Weights], Tensor]:
        """The support loss plus the distance to theta."""
        loss = super().inner_loss(theta, support)
        return proximal_loss(loss, self.start(theta, support), self.params.proximity)
