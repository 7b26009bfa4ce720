"""Backbone ``deepfm``: a DeepFM's item embeddings, and what it says of a user by attributes."""

from __future__ import annotations

import torch

from coldstart.data.choices import Chooser
from coldstart.data.episodes import History
from coldstart.models.backbone import Backbone
from coldstart.models.deepfm import fit_deepfm
from coldstart.models.user_prior import unfitted
from coldstart.params import PretrainParams


def fit_deepfm_backbone(
    history: History, validation: Chooser, params: PretrainParams, seed: int
) -> Backbone:
    """The factorisation machine is linear in a user's embedding, which is the weight vector here.

    The network is not: its part is what it adds for a user of whom nothing is known, in the offset.
    """
    model = fit_deepfm(history, validation, params.deepfm, seed, "deepfm epochs")
    nobody = torch.zeros(1, history.user_features_UF.shape[1])
    everything = torch.arange(history.n_items)
    features_ND = torch.cat([torch.ones(history.n_items, 1), model.features_NE], dim=1)
    return Backbone(
        kind="deepfm",
        features_CND=features_ND[None],
        offset_CN=model.score(nobody, everything),
        count_CN=torch.bincount(history.items_R, minlength=history.n_items).float()[None],
        prior_FD=model.user_FD,
        group_U=torch.zeros(history.n_users, dtype=torch.int64),
        side_NG=history.item_features_NG,
        **unfitted(history, features_ND.shape[1]),
    )
