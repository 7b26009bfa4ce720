"""Meta-train one algorithm: a bundle and a training curve for every fold and seed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch

import coldstart
from coldstart import environment, layout
from coldstart.algorithms import ALGORITHMS, check_params
from coldstart.algorithms._base import MetaLearner
from coldstart.data.prepared import Prepared
from coldstart.data.spare import spare_choices
from coldstart.errors import ParamsError
from coldstart.models.backbone import Backbone
from coldstart.models.bundle import Bundle
from coldstart.models.heads import HEADS
from coldstart.params import Params, Section, load_params
from coldstart.training.allocator import keep_freed_memory
from coldstart.training.checkpoint import Checkpoints, digest
from coldstart.training.device import usable
from coldstart.training.fold import train
from coldstart.training.interrupt import on_sigterm
from coldstart.training.run import Row

HISTORY = "history.csv"


def run(algorithm: str) -> None:
    """Train, resuming what was cut off, and write the bundles under ``artifacts/models``.

    Raises:
        ParamsError: an unknown algorithm, or a device that this machine has not.
        TrainingDiverged: see :func:`coldstart.training.loop.meta_train`.
    """
    params = load_params()
    sections = check_params(params)
    if algorithm not in params.meta_train.algorithms:
        chosen = ", ".join(params.meta_train.algorithms)
        raise ParamsError(f"meta_train.algorithms: {algorithm!r} is not in it; there are: {chosen}")
    usable(params.device)
    torch.set_num_threads(params.threads)
    keep_freed_memory()
    prepared = Prepared.load()
    root = environment.home() / "checkpoints" / _key(params, algorithm)
    with on_sigterm() as interrupt:
        for fold in params.prepare.folds:
            history = prepared.history(fold)
            for seed in params.meta_train.seeds:
                checkpoints = Checkpoints(root / f"fold-{fold}-seed-{seed}")
                learner = _learner(algorithm, sections[algorithm], params, fold, seed)
                choices, what = spare_choices(prepared, fold), f"fold {fold} seed {seed}"
                trained = train(
                    learner, params, history, choices, seed, checkpoints, interrupt, what
                )
                folder = layout.seed_folder(layout.MODELS / algorithm, fold, seed)
                trained.learner.to("cpu").to_bundle().save(folder)
                choices.save(folder)
                _write_history(trained.history, folder / HISTORY)
    Checkpoints(root).clear()


def _learner(
    algorithm: str, section: Section, params: Params, fold: int, seed: int
) -> MetaLearner[Any]:
    backbone = Backbone.from_bundle(Bundle.load(layout.fold_folder(layout.BACKBONE, fold)))
    learner = ALGORITHMS[algorithm].create(backbone, section, HEADS[params.head], seed)
    return learner.to(params.device)


def _key(params: Params, algorithm: str) -> str:
    """Digest of all that the result depends on: params, input files and our own code."""
    used = params.model_dump(
        mode="json", include={"threads", "device", "head", "data", "prepare", "meta_train"}
    )
    used["meta_train"].pop("algorithms")
    package = Path(coldstart.__file__).parent
    code = [package / name for name in ("data", "models", "algorithms", "training")]
    return digest(
        used | {"algorithm": algorithm, "section": params.algorithms[algorithm]},
        [layout.PREPARED, layout.BACKBONE, *code, package / "stages" / "meta_train.py"],
    )


def _write_history(history: list[Row], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", "training_loss", "validation_loss"])
        for row in history:
            training = "" if row.training is None else f"{row.training:.6g}"
            writer.writerow([row.step, training, f"{row.validation:.6g}"])
