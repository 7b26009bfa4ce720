"""Which methods there are, where their bundles lie, and how a bundle becomes a method again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from coldstart import layout
from coldstart.algorithms import ALGORITHMS
from coldstart.baselines import BASELINES
from coldstart.baselines.base import Empty
from coldstart.errors import ArtefactError
from coldstart.models.bundle import Bundle
from coldstart.models.recommender import Recommender
from coldstart.params import Params

CANARIES = ("random", "constant")
"""Baselines that know nothing; never promoted, and their scores must be what theory says."""

REFERENCE = "bias"
"""The baseline that everything is compared with in tables and plots."""


class FittedMethod(NamedTuple):
    """One bundle: a method, fitted for a fold with a training seed (0 for baselines)."""

    name: str
    fold: int
    seed: int
    folder: Path


def method_names(params: Params) -> tuple[str, ...]:
    """Baselines, then the chosen algorithms: from simple to complex."""
    baselines = [name for name in BASELINES if name in params.baselines]
    return (*baselines, *(name for name in ALGORITHMS if name in params.meta_train.algorithms))


def untuned_names(params: Params) -> tuple[str, ...]:
    """The baselines without a parameter that anybody could have chosen, from simple to complex.

    One that reads a backbone has those of the backbone.
    """
    return tuple(
        name
        for name, kind in BASELINES.items()
        if name in params.baselines and kind.Params is Empty and kind.reads is None
    )


def fitted_methods(params: Params, fold: int) -> Iterator[FittedMethod]:
    """Every bundle that ``pretrain`` and ``meta_train`` wrote for a fold."""
    for name in method_names(params):
        if name in BASELINES:
            folder = layout.fold_folder(layout.BASELINES / name, fold)
            yield FittedMethod(name, fold, 0, folder)
        else:
            for seed in params.meta_train.seeds:
                folder = layout.seed_folder(layout.MODELS / name, fold, seed)
                yield FittedMethod(name, fold, seed, folder)


def load_method(folder: Path) -> Recommender:
    """Read a bundle and rebuild the method that its manifest names.

    Raises:
        ArtefactError: the bundle is missing or altered, its kind is not a known method, or another
            version of the method wrote it.
    """
    bundle = Bundle.load(folder)
    kinds: dict[str, type[Recommender]] = {
        cls.kind: cls for cls in (*BASELINES.values(), *ALGORITHMS.values())
    }
    if bundle.kind not in kinds:
        raise ArtefactError(f"{folder}: kind {bundle.kind!r} is not one of {sorted(kinds)}")
    try:
        return kinds[bundle.kind].from_bundle(bundle)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(
            f"{folder}: written by another version of {bundle.kind}, unreadable by this: {error}"
        ) from error
