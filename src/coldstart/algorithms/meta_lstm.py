"""An LSTM cell as the inner update (Ravi & Larochelle 2017): c_t = f_t o c_{t-1} - i_t o grad L.

The cell state is the weights. One cell is shared by all coordinates; it learns how far to step and
how much to forget from a coordinate's gradient, weight and former gate and from the user's loss,
and theta is its initial state (equations 2 to 4). With f = 1 and i = alpha it is SGD.

As in the paper gradients and losses enter as constants (first order), and are preprocessed with
p = 10 (appendix A). Deviations: one cell, without the paper's plain LSTM layer below it; the
coordinates are ``sqrt(fan_in) w``, in which the layers' gradients compare (see
:class:`~coldstart.algorithms._inner_loop.FanInSGD`); forgetting is scaled by K / (K + shrinkage),
as the loss is, so that a user without support is left as all users start; gates are 0 before
step 1.

Legend: B users, G inputs of a gate.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from coldstart.algorithms._base import Theta
from coldstart.algorithms._gradient import GradientLearner, OuterParams
from coldstart.algorithms._inner_loop import Weights, fan_in
from coldstart.data.episodes import Support
from coldstart.models.backbone import Backbone
from coldstart.models.heads import Head
from coldstart.params import search

_P = 10.0
"""Logarithms of gradients and losses are divided by this; smaller ones than ``exp(-p)`` are kept
linear."""

_G = 7
"""Gradient and loss (two numbers each), weight, former gate, and 1."""


class MetaLSTMParams(OuterParams):
    """Gates at the start."""

    inner_rate: float = Field(
        gt=0,
        lt=1,
        json_schema_extra=search(0.01, 0.5, log=True),
        description="Input gate i at the start of meta-training.",
    )
    forget: float = Field(
        gt=0,
        lt=1,
        json_schema_extra=search(0.9, 0.9999),
        description="Forget gate f at the start of meta-training; 1 would keep weights whole.",
    )


class LSTMRule:
    """The cell as the rule of one inner loop; its state are the former gates."""

    def __init__(self, input_G: Tensor, forget_G: Tensor, share_B: Tensor) -> None:
        """Start a loop.

        Args:
            input_G: weights of the input gate i.
            forget_G: weights of the forget gate f.
            share_B: how much of its forgetting a user's support allows, from 0 to 1.
        """
        self._gates_G = {"input": input_G, "forget": forget_G}
        self._share_B11 = share_B[:, None, None]
        self._former: dict[tuple[str, str], Tensor] = {}

    def __call__(self, weights: Weights, gradients: Weights, loss_B: Tensor) -> Weights:
        """One step for all users."""
        loss = preprocess(loss_B.detach()[:, None, None])
        after = {}
        for name, w in weights.items():
            root = math.sqrt(fan_in(w))
            gradient = gradients[name].detach() / root
            inputs = (*preprocess(gradient), *loss, w * root)
            i = self._gate("input", name, inputs)
            f = 1 - self._share_B11 * (1 - self._gate("forget", name, inputs))
            after[name] = f * w - i * gradient / root
        return after

    def _gate(self, gate: str, name: str, inputs: tuple[Tensor, ...]) -> Tensor:
        *slopes, memory, bias = self._gates_G[gate].unbind()
        total = bias + sum(slope * x for slope, x in zip(slopes, inputs, strict=True))
        if (gate, name) in self._former:
            total = total + memory * self._former[gate, name]
        value = self._former[gate, name] = torch.sigmoid(total)
        return value


class MetaLSTM(GradientLearner[MetaLSTMParams]):
    """Learns the update rule together with where it starts."""

    kind = "meta_lstm"
    Params = MetaLSTMParams

    @classmethod
    def initial(cls, backbone: Backbone, params: MetaLSTMParams, head: Head, seed: int) -> Theta:
        """The network, and gates that are the same whatever they see."""
        theta = super().initial(backbone, params, head, seed)
        for gate, value in (("input", params.inner_rate), ("forget", params.forget)):
            bias = torch.tensor([math.log(value / (1 - value))])
            theta[f"{gate}_gate_G"] = torch.cat([torch.zeros(_G - 1), bias])
        return theta

    def rule(self, theta: Theta, support: Support) -> LSTMRule:
        """The cell with the gates of ``theta``."""
        size_B = support.mask_BS.sum(-1)
        share_B = size_B / (size_B + self.params.shrinkage).clamp(min=1.0)
        return LSTMRule(theta["input_gate_G"], theta["forget_gate_G"], share_B)

    def outer_rate(self, step: int, max_steps: int) -> float:
        """Constant."""
        return self.params.outer_rate


def preprocess(x: Tensor) -> tuple[Tensor, Tensor]:
    """``(log|x| / p, sign x)`` where ``|x| >= exp(-p)``, else ``(-1, exp(p) x)``."""
    large = x.abs() >= math.exp(-_P)
    size = torch.where(large, x.abs().clamp(min=math.exp(-_P)).log() / _P, -1.0)
    return size, torch.where(large, x.sign(), math.exp(_P) * x)
