"""Pretrained models that meta-learners start from, by the value of ``pretrain.backbone``."""

from __future__ import annotations

from collections.abc import Callable

from coldstart.data.choices import Chooser
from coldstart.data.episodes import History
from coldstart.models.backbone import Backbone
from coldstart.models.backbones.deepfm import fit_deepfm_backbone
from coldstart.models.backbones.mf import fit_mf
from coldstart.models.backbones.two_tower import fit_two_tower
from coldstart.models.backbones.vbpmf import fit_vbpmf, fit_vbpmf_audience
from coldstart.models.exposure import with_exposure
from coldstart.models.user_prior import with_choice, with_user_prior
from coldstart.params import PretrainParams

BACKBONES: dict[str, Callable[[History, Chooser, PretrainParams, int], Backbone]] = {
    "mf": fit_mf,
    "vbpmf": fit_vbpmf,
    "vbpmf_audience": fit_vbpmf_audience,
    "two_tower": fit_two_tower,
    "deepfm": fit_deepfm_backbone,
}


def fit_backbone(
    name: str, history: History, validation: Chooser, params: PretrainParams, seed: int
) -> Backbone:
    """Fit a backbone by name; on top of it the prior over users and the model of exposure.

    Args:
        name: a key of ``BACKBONES``.
        history: ratings of the historical users.
        validation: users in neither ``history`` nor the cold users, or what they chose.
        params: sections of the backbones and of the prior.
        seed: of everything random.
    """
    fitted = BACKBONES[name](history, validation, params, seed)
    if fitted.covariance_NDD is None:  # point estimates come without a prior over users
        fitted = with_user_prior(fitted, history)
    fitted = with_choice(fitted, history, params.user_prior, seed)
    return with_exposure(fitted, history, params.exposure, seed)
