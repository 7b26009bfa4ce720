"""Stage ``combine``: methods made from fitted methods, one bundle for every fold and seed."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

import torch

from coldstart import layout
from coldstart.combinations import COMBINATIONS, check_params, possible
from coldstart.combinations.base import Ingredients
from coldstart.data.choices import Choices
from coldstart.data.prepared import Prepared
from coldstart.data.spare import spare_choices
from coldstart.methods import bundle_folder, load_method
from coldstart.models.backbone import Backbone
from coldstart.models.bundle import Bundle
from coldstart.params import Params, load_params
from coldstart.progress import progress

MADE_OF = "made_of.json"
"""What each combination is made of; the folder is an output of the stage, never empty."""

_LOG = logging.getLogger("coldstart.combine")


def run() -> None:
    """Make every combination of ``params.yaml`` that this run has the ingredients for.

    Raises:
        ParamsError: an unknown combination, key or ingredient, or a value out of range.
        ArtefactError: a bundle is missing or altered.
        TrainingDiverged: averaging went on training and a loss was not finite.
    """
    params = load_params(layout.PARAMS)
    made_of = possible(params)
    for name in set(check_params(params)) - set(made_of):
        _LOG.warning("%s is left out: what it is made from was not fitted in this run", name)
    torch.set_num_threads(params.threads)
    layout.COMBINATIONS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(made_of, indent=1)
    (layout.COMBINATIONS / MADE_OF).write_text(text + "\n", encoding="utf-8")
    prepared = Prepared.load(layout.PREPARED)
    runs = [(fold, seed) for fold in params.prepare.folds for seed in params.meta_train.seeds]
    for fold, seed in progress(runs, "combine"):
        _combine(params, made_of, prepared, fold, seed)


def _combine(
    params: Params, made_of: Mapping[str, tuple[str, ...]], prepared: Prepared, fold: int, seed: int
) -> None:
    sections = check_params(params)
    backbone = Backbone.from_bundle(Bundle.load(layout.fold_folder(layout.BACKBONE, fold)))
    history, asked = prepared.history(fold), spare_choices(prepared, fold)
    for name, of in made_of.items():
        choices = Choices(asked.validation, judged_BX=asked.judged_BX)
        folder = bundle_folder(name, fold, seed)
        ingredients = Ingredients(
            methods={each: load_method(bundle_folder(each, fold, seed)) for each in of},
            history=history,
            validation=choices,
            backbone=backbone,
            params=params,
            seed=seed,
        )
        COMBINATIONS[name].make(sections[name], ingredients).to_bundle().save(folder)
        choices.save(folder)
