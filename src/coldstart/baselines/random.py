"""Baseline ``random``: uniform scores inside the scale, a canary that knows nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from coldstart.baselines._base import Baseline, Empty
from coldstart.data.choices import Chooser
from coldstart.data.episodes import History, Support
from coldstart.models.backbone import Backbone
from coldstart.models.recommender import Prediction, State


@dataclass(frozen=True)
class Random(Baseline):
    """A hash of user and item, so that a score depends neither on the batch nor on the call.

    A user is known by attributes and by which items they rated, in whatever unit: users who agree
    in both get the same scores.
    """

    kind: ClassVar[str] = "random"
    n_items: int
    low: float
    high: float
    seed: int

    @classmethod
    def fit(
        cls, history: History, backbone: Backbone, validation: Chooser, params: Empty, seed: int
    ) -> Self:
        """Between the lowest and the highest target."""
        low, high = history.targets_R.min(), history.targets_R.max()
        return cls(history.n_items, float(low), float(high), seed)

    @property
    def spread(self) -> float:
        """Standard deviation of a score, target units."""
        return (self.high - self.low) / math.sqrt(12)

    def adapt(self, support: Support) -> State:
        """A key per user, the same in any order of the support."""
        rated_B = (_hashes(support.items_BS) * support.mask_BS).sum(1)
        users_BF = support.users_BF
        position_F = mix(torch.arange(users_BF.shape[1], device=users_BF.device))
        attributes_B = mix(_bits(users_BF) + position_F).sum(1)
        return self._keyed(rated_B, attributes_B)

    def update(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """One more item in the sum that the key is of."""
        del targets_B  # see the class
        return self._keyed(state["rated_B"] + _hashes(items_B), state["attributes_B"])

    def _keyed(self, rated_B: Tensor, attributes_B: Tensor) -> State:
        key_B = mix(rated_B + mix(attributes_B + self.seed))
        return {"key_B": key_B, "rated_B": rated_B, "attributes_B": attributes_B}

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """``low`` to ``high``, uniform."""
        hash_BQ = mix(state["key_B"][:, None] + mix(items_BQ))
        share_BQ = (hash_BQ & 0xFFFFFF).double() / 0x1000000
        return Prediction((self.low + (self.high - self.low) * share_BQ).float())

    def score_catalogue(self, state: State) -> Prediction:
        """As :meth:`score`."""
        key_B = state["key_B"]
        items_N = torch.arange(self.n_items, device=key_B.device)
        return self.score(state, items_N.expand(len(key_B), -1))


def mix(keys: Tensor) -> Tensor:
    """Hash int64 keys to int64: the finaliser of SplitMix64 (Steele et al. 2014), mod 2^64."""
    keys = keys - 0x61C8864680B583EB
    keys = (keys ^ _shift(keys, 30)) * -0x40A7B892E31B1A47
    keys = (keys ^ _shift(keys, 27)) * -0x6B2FB644ECCEEE15
    return keys ^ _shift(keys, 31)


def _hashes(items: Tensor) -> Tensor:
    """Of the choice of single items; not what :meth:`Random.score` mixes of an item."""
    return mix(mix(items))


def _shift(keys: Tensor, bits: int) -> Tensor:
    """Logical right shift: torch's is arithmetic."""
    return (keys >> bits) & ((1 << (64 - bits)) - 1)


def _bits(values: Tensor) -> Tensor:
    """The bit patterns of float32 values; -0.0 counts as 0.0."""
    return (values + 0.0).contiguous().view(torch.int32).long()
