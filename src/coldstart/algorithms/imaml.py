"""Implicit MAML (Rajeswaran, Finn, Kakade & Levine 2019, algorithms 1 and 2).

phi* = argmin G(phi, theta) with G = L_S(phi) + lambda / 2 ||phi - theta||^2. The meta-gradient
(I + H / lambda)^-1 grad L_Q(phi*) comes from the implicit function theorem: it needs phi*, not the
steps that led there. The system is solved by a few steps of conjugate gradients, for all users at
once, with products of the Hessian H of L_S by double backward.

Deviations: distances are those of :mod:`~coldstart.algorithms._proximal`; weights that a user does
not adapt are part of theta too and receive their implicit gradient, -(dG/dphi dtheta)' z with
z = (H + lambda)^-1 grad L_Q; where H + lambda is not positive along a direction (a ReLU network
that has not been solved to a minimum), a user's solve ends there. Adam is the outer optimiser; a
rating's weight follows ``shrinkage`` as in MAML.

Legend: B users, n adapted weights of a user, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor

from coldstart.algorithms._base import Theta, judged
from coldstart.algorithms._gradient import GradientLearner, OuterParams
from coldstart.algorithms._inner_loop import Weights, fan_in
from coldstart.algorithms._proximal import ProximalParams, proximal_loss
from coldstart.data.episodes import Episodes, Support


class IMAMLParams(ProximalParams, OuterParams):
    """Proximal inner problem, implicit meta-gradient."""

    cg_steps: int = Field(ge=1, le=100, description="Steps of conjugate gradients.")


class IMAML(GradientLearner[IMAMLParams]):
    """Meta-gradient at the solution of the inner problem, whatever led there."""

    kind = "imaml"
    Params = IMAMLParams

    def outer_rate(self, step: int, max_steps: int) -> float:
        """Constant."""
        return self.params.outer_rate

    def inner_loss(self, theta: Theta, support: Support) -> Callable[[Weights], Tensor]:
        """The support loss plus the distance to theta."""
        loss = super().inner_loss(theta, support)
        return proximal_loss(loss, self.start(theta, support), self.params.proximity)

    def meta_gradient(self, theta: Theta, episodes: Episodes) -> tuple[Tensor, Theta]:
        """Mean query loss over the users, and its implicit gradient with respect to ``theta``."""
        theta = {name: value.detach().requires_grad_() for name, value in theta.items()}
        names, support = list(theta), episodes.support
        state = self.adapt_with(theta, support, training=False)
        phi = {name: state[name].requires_grad_() for name in self._adapted}
        with torch.enable_grad():
            scores = self.score_with(theta, state | phi, episodes.items_BQ, support.crossfit_B)
            loss = self.head.query_loss(scores.mean, *judged(episodes)).mean()
            values = list(phi.values())
            direct = torch.autograd.grad(loss, [*values, *theta.values()], materialize_grads=True)
            inner = self.inner_loss(theta, support)(phi).sum()
            slope = torch.autograd.grad(inner, values, create_graph=True, materialize_grads=True)
        z = self._solve(values, slope, direct[: len(values)])
        mixed = torch.autograd.grad(slope, list(theta.values()), z, materialize_grads=True)
        gradients = [g - m for g, m in zip(direct[len(values) :], mixed, strict=True)]
        return loss.detach(), dict(zip(names, gradients, strict=True))

    def _solve(
        self, phi: list[Tensor], slope: tuple[Tensor, ...], target: tuple[Tensor, ...]
    ) -> list[Tensor]:
        """``z`` with ``(d slope / d phi) z = target``, in the coordinates ``sqrt(fan_in) w``."""
        scales = [fan_in(w) ** -0.5 for w in phi]

        def flat(parts: tuple[Tensor, ...]) -> Tensor:
            return torch.cat(
                [scale * p.flatten(1) for scale, p in zip(scales, parts, strict=True)], 1
            )

        def unflat(v_Bn: Tensor) -> list[Tensor]:
            parts = torch.split(v_Bn, [w[0].numel() for w in phi], 1)
            return [scale * p.view_as(w) for scale, p, w in zip(scales, parts, phi, strict=True)]

        def product(v_Bn: Tensor) -> Tensor:
            return flat(torch.autograd.grad(slope, phi, unflat(v_Bn), retain_graph=True))

        return unflat(conjugate_gradients(product, flat(target), self.params.cg_steps))


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], target_Bn: Tensor, steps: int
) -> Tensor:
    """Solve ``A_b x_b = target_b`` for every user b: ``[B, n]``.

    Args:
        product: ``A_b v_b`` for all users; symmetric, and positive where the solve is to go on.
        target_Bn: right-hand sides.
        steps: number of steps; ``n`` are exact. Solved users, and those that meet a direction
            without positive curvature, stay where they are (Steihaug 1983).
    """
    x_Bn = torch.zeros_like(target_Bn)
    rest_Bn = along_Bn = target_Bn
    square_B1 = rest_Bn.square().sum(1, keepdim=True)
    done_B1 = torch.finfo(target_Bn.dtype).eps ** 2 * square_B1
    going_B1 = torch.ones_like(square_B1, dtype=torch.bool)
    for _ in range(steps):
        image_Bn = product(along_Bn)
        curvature_B1 = (along_Bn * image_Bn).sum(1, keepdim=True)
        going_B1 = going_B1 & (curvature_B1 > 0) & (square_B1 > done_B1)
        step_B1 = torch.where(going_B1, square_B1 / curvature_B1, 0.0)
        x_Bn = x_Bn + step_B1 * along_Bn
        rest_Bn = rest_Bn - step_B1 * image_Bn
        former_B1, square_B1 = square_B1, rest_Bn.square().sum(1, keepdim=True)
        share_B1 = torch.where(going_B1, square_B1 / former_B1, 0.0)
        along_Bn = rest_Bn + share_B1 * along_Bn
    return x_Bn
