"""Which methods there are, where their bundles lie, and how a bundle becomes a method again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from coldstart import layout
from coldstart.algorithms import ALGORITHMS
from coldstart.baselines import BASELINES
from coldstart.combinations import COMBINATIONS, possible
from coldstart.errors import ArtefactError
from coldstart.models.bundle import Bundle
from coldstart.models.recommender import Recommender
from coldstart.params import Params

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
