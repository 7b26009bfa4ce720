"""Which methods there are, who owns their sections, where bundles lie, and how one is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from coldstart import layout
from coldstart.algorithms import ALGORITHMS
from coldstart.baselines import BASELINES
from coldstart.combinations import COMBINATIONS, possible
from coldstart.combinations import check_params as check_combinations
from coldstart.errors import ArtefactError, ParamsError
from coldstart.models.bundle import Bundle
from coldstart.models.recommender import Recommender
from coldstart.params import Params, Section, parse_section

CANARIES = ("random", "constant")
"""Baselines that know nothing; never promoted, and their scores must be what theory says."""


class FittedMethod(NamedTuple):
    """One bundle: a method, fitted for a fold with a training seed (0 for baselines)."""

    name: str
    fold: int
    seed: int
    folder: Path


def method_names(params: Params) -> tuple[str, ...]:
    """Baselines, the chosen algorithms, then what is made of both: from simple to complex."""
    baselines = [name for name in BASELINES if name in params.baselines]
    algorithms = [name for name in ALGORITHMS if name in params.meta_train.algorithms]
    return (*baselines, *algorithms, *possible(params))


def fitted_methods(params: Params, fold: int) -> Iterator[FittedMethod]:
    """Every bundle that ``pretrain``, ``meta_train`` and ``combine`` wrote for a fold."""
    for name in method_names(params):
        for seed in (0,) if name in BASELINES else params.meta_train.seeds:
            yield FittedMethod(name, fold, seed, bundle_folder(name, fold, seed))


def bundle_folder(name: str, fold: int, seed: int) -> Path:
    """Where the bundle of a method lies; baselines have one for all seeds."""
    if name in BASELINES:
        return layout.fold_folder(layout.BASELINES / name, fold)
    root = layout.COMBINATIONS if name in COMBINATIONS else layout.MODELS
    return layout.seed_folder(root / name, fold, seed)


def load_method(folder: Path) -> Recommender:
    """Read a bundle and rebuild the method that its manifest names.

    Raises:
        ArtefactError: the bundle is missing or altered, its kind is not a known method, or another
            version of the method wrote it.
    """
    bundle = Bundle.load(folder)
    methods = (*BASELINES.values(), *ALGORITHMS.values(), *COMBINATIONS.values())
    kinds = {cls.kind: cls for cls in methods if issubclass(cls, Recommender)}
    if bundle.kind not in kinds:
        raise ArtefactError(f"{folder}: kind {bundle.kind!r} is not one of {sorted(kinds)}")
    try:
        return kinds[bundle.kind].from_bundle(bundle)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(
            f"{folder}: written by another version of {bundle.kind}, unreadable by this: {error}"
        ) from error


def owners() -> dict[str, dict[str, type[Section]]]:
    """The kind of section that each method has in ``params.yaml``, by group and name."""
    return {
        "baselines": {name: kind.Params for name, kind in BASELINES.items()},
        "algorithms": {name: kind.Params for name, kind in ALGORITHMS.items()},
        "combine": {name: kind.Params for name, kind in COMBINATIONS.items()},
    }


def check_all(text: str) -> Params:
    """The text of a ``params.yaml``, checked to the last key, sections of methods by their owners.

    Raises:
        ParamsError: a key or value is refused, or a section belongs to no method.
    """
    params = parse_section(Params, yaml.safe_load(text), "params.yaml")
    for group, known in owners().items():
        for name, raw in getattr(params, group).items():
            if name not in known:
                allowed = ", ".join(sorted(known))
                raise ParamsError(f"params.yaml: {group}.{name}: unknown key; allowed: {allowed}")
            parse_section(known[name], raw, f"params.yaml: {group}.{name}")
    check_combinations(params)
    return params
