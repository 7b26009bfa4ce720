"""Meta-SGD (Li, Zhou, Chen & Li 2017): theta' = theta - alpha o grad L_S(theta), alpha learned.

Alpha has the shape of the adapted weights and is part of theta: meta-training learns where to
start, and for each weight how far and in which direction to go (equation 3, algorithm 2); an entry
may become negative. Deviations: alpha starts the same everywhere (the paper draws it uniformly
from [0.005, 0.1]); ``inner_steps`` may exceed the paper's 1 and share one alpha; alpha is counted
per input of a layer (:class:`~coldstart.algorithms._inner_loop.FanInSGD`); Adam is the outer
optimiser and a rating's weight follows ``shrinkage`` as in MAML.
"""

from __future__ import annotations

import torch
from torch import Tensor

from coldstart.algorithms._base import Theta
from coldstart.algorithms._gradient import GradientLearner, OuterParams
from coldstart.algorithms._inner_loop import Weights, fan_in
from coldstart.algorithms._network import subset
from coldstart.data.episodes import Support
from coldstart.models.backbone import Backbone
from coldstart.models.heads import Head


class LearnedSGD:
    """``w - rate o g / fan_in``, with a rate for each weight."""

    def __init__(self, rates: Weights) -> None:
        self.rates = rates

    def __call__(self, weights: Weights, gradients: Weights, loss_B: Tensor) -> Weights:
        """One step for all users."""
        return {
            name: w - self.rates[name] / fan_in(w) * gradients[name] for name, w in weights.items()
        }


class MetaSGD(GradientLearner[OuterParams]):
    """Learns a rate for each weight together with where it starts."""

    kind = "meta_sgd"
    Params = OuterParams
    second_order = True

    @classmethod
    def initial(cls, backbone: Backbone, params: OuterParams, head: Head, seed: int) -> Theta:
        """The network, and MAML's one rate for all weights."""
        theta = super().initial(backbone, params, head, seed)
        rates = {
            f"alpha_{name}": torch.full_like(theta[name], params.inner_rate)
            for name in subset(params.adapt)
        }
        return theta | rates

    def rule(self, theta: Theta, support: Support) -> LearnedSGD:
        """Steps at the rates of ``theta``."""
        return LearnedSGD({name: theta[f"alpha_{name}"] for name in self._adapted})

    def outer_rate(self, step: int, max_steps: int) -> float:
        """Constant."""
        return self.params.outer_rate
