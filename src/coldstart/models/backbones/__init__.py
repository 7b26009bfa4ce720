"""Pretrained models that meta-learners start from, by the value of ``pretrain.backbone``."""

from __future__ import annotations

from collections.abc import Callable

from coldstart.data.episodes import Episodes, History
from coldstart.models.backbone import Backbone
from coldstart.models.backbones.deepfm import fit_deepfm_backbone
from coldstart.models.backbones.mf import fit_mf
from coldstart.models.backbones.two_tower import fit_two_tower
from coldstart.params import PretrainParams

BACKBONES: dict[str, Callable[[History, Episodes, PretrainParams, int], Backbone]] = {
    "mf": fit_mf,
    "two_tower": fit_two_tower,
    "deepfm": fit_deepfm_backbone,
}
