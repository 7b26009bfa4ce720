"""Stage ``pretrain``: the backbone and all baselines, fitted on each fold's historical users."""

from __future__ import annotations

import torch

from coldstart import layout
from coldstart.baselines import check_params
from coldstart.baselines._fitting import fit_backbones, fit_baselines
from coldstart.data.choices import Choices
from coldstart.data.prepared import Prepared
from coldstart.data.spare import spare_episodes
from coldstart.errors import DataError
from coldstart.params import load_params
from coldstart.progress import progress


def run() -> None:
    """Write one bundle per fold for the backbone and for every baseline of ``params.yaml``.

    Raises:
        ParamsError: an unknown baseline, an unknown key or a value out of range.
        DataError: a fold without historical ratings or without validation users.
    """
    params = load_params(layout.PARAMS)
    names = tuple(check_params(params))
    torch.set_num_threads(params.threads)
    prepared = Prepared.load()
    for fold in progress(prepared.folds, "pretrain folds"):
        history = prepared.history(fold)
        validation = spare_episodes(prepared, fold)
        if not len(history.targets_R) or not validation.n_users:
            raise DataError(
                f"fold {fold}: {len(history.targets_R)} historical ratings and "
                f"{validation.n_users} validation users with enough ratings; both are needed: "
                "lower prepare.min_ratings or change prepare.validation_share"
            )
        choices, of_baselines = Choices(validation), Choices(validation)
        backbones = fit_backbones(history, choices, params, names)
        folder = layout.fold_folder(layout.BACKBONE, fold)
        backbones[params.pretrain.backbone].to_bundle().save(folder)
        choices.save(folder)
        for name, fitted in fit_baselines(history, of_baselines, params, backbones, names):
            folder = layout.fold_folder(layout.BASELINES / name, fold)
            fitted.to_bundle().save(folder)
            of_baselines.part(name).save(folder)
