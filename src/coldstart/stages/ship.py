"""Stage ``ship``: the candidate's recipe, learnt again from every user and every rating."""

from __future__ import annotations

import logging

import torch
from safetensors.torch import save

from coldstart import layout
from coldstart.data.choices import Choices
from coldstart.data.everyone import everyone
from coldstart.data.prepared import Prepared
from coldstart.data.units import Unit
from coldstart.evaluation.summary import Summary
from coldstart.params import Params, load_params
from coldstart.recipe import Learning, Recipe
from coldstart.served import USERS, Facts, Served
from coldstart.training.allocator import keep_freed_memory

_LOG = logging.getLogger("coldstart.ship")


def run() -> None:
    """Write ``artifacts/shipped``: what serving reads, the recipe, and whom it was learnt from.

    Nothing is chosen here: steps, weights and calibrations are those that validation users chose
    for the bundle that was evaluated.

    Raises:
        ArtefactError: the candidate or a part of it is not here.
        TrainingDiverged: a loss or gradient is not finite.
    """
    params = load_params(layout.PARAMS)
    torch.set_num_threads(params.threads)
    keep_freed_memory()
    candidate = Summary.load(layout.EVALUATION).candidate
    recipe = Recipe.evaluated(params, candidate.method, candidate.fold, candidate.seed)
    prepared = Prepared.load()
    all_of_them = everyone(prepared, candidate.fold)
    _LOG.info(
        "%s, from %d ratings of %d users",
        recipe.method,
        len(all_of_them.history.targets_R),
        len(all_of_them.known_U),
    )
    method = Learning(recipe, params, all_of_them.history, Choices(made=recipe.chosen)).learn()
    items = prepared.items.sort_values("item")
    served = Served(
        method,
        _facts(recipe, params, prepared.unit(candidate.fold)),
        items["key"].tolist(),
        items["title"].tolist(),
        all_of_them.encoder,
    )
    served.save(layout.SHIPPED)
    recipe.save(layout.SHIPPED)
    (layout.SHIPPED / USERS).write_bytes(save({"known_U": all_of_them.known_U}))


def _facts(recipe: Recipe, params: Params, unit: Unit) -> Facts:
    return Facts(
        dataset=params.data.name,
        method=recipe.method,
        head=params.head,
        min_rating=params.data.min_rating,
        max_rating=params.data.max_rating,
        like=params.data.like if params.data.rated else None,
        unit=unit,
    )
