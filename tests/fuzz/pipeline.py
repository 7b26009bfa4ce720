"""All stages on any dataset, in one process and in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from coldstart.params import read_yaml, resolve
from coldstart.progress import silent
from coldstart.stages import combine, evaluate, meta_train, prepare, pretrain, report, validate

ROOT = Path(__file__).parents[2]
NAME = "any"
SMALL: dict[str, Any] = {
    "validate.min_ratings": 1,
    "data.name": NAME,
    "data.source": NAME,
    "prepare.n_folds": 3,
    "prepare.min_ratings": 8,
    "prepare.query_size": 4,
    "prepare.shots": [0, 1, 3],
    "prepare.validation_share": 0.3,
    "pretrain.vbpmf.crossfit": 3,
    "pretrain.vbpmf_audience.crossfit": 3,
    "pretrain.mf.crossfit": 3,
    "pretrain.deepfm.epochs": 1,
    "pretrain.two_tower.epochs": 1,
    "meta_train.algorithms": ["bayes_head", "multitask", "cnp"],
    "meta_train.loop.max_steps": 4,
    "meta_train.loop.eval_every": 2,
    "meta_train.loop.batch_size": 16,
    "combine.student.steps": 5,
    "combine.average.cycles": 1,
    "combine.average.steps": 1,
    "evaluate.resamples": 100,
    "evaluate.min_segment": 5,
}
"""What makes a run of the committed params.yaml short; the rest is as in production."""


@dataclass(frozen=True)
class Dataset:
    """Tables as they stand in the atomic files; columns as in their headers, ``name:type``."""

    tables: Mapping[str, pd.DataFrame]  # inter, and maybe user and item
    params: Mapping[str, Any]  # overrides of SMALL, dotted


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """With ``folder`` as the working directory and as the home of what the program keeps."""
    before, home = Path.cwd(), os.environ.get("COLDSTART_HOME")
    os.chdir(folder)
    os.environ["COLDSTART_HOME"] = str(folder / "home")
    try:
        yield
    finally:
        os.chdir(before)
        del os.environ["COLDSTART_HOME"]
        if home is not None:
            os.environ["COLDSTART_HOME"] = home


def write(dataset: Dataset, folder: Path) -> None:
    """The files of a project that has this dataset and nothing else."""
    raw = read_yaml(ROOT / "params.yaml")
    params = resolve(raw, "quick", SMALL | dict(dataset.params))
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    shutil.copytree(ROOT / "expectations", folder / "expectations")
    data = folder / "data" / NAME
    data.mkdir(parents=True)
    for suffix, table in dataset.tables.items():
        table.to_csv(data / f"{NAME}.{suffix}", sep="\t", index=False)


def run(dataset: Dataset, folder: Path) -> None:
    """From ``validate`` to ``report``; a warning is an error.

    Raises:
        ColdstartError: the data or the params cannot be used, in words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with inside(folder), silent(), warnings.catch_warnings():
        warnings.simplefilter("error")
        write(dataset, folder)
        validate.run()
        prepare.run()
        pretrain.run()
        for algorithm in read_yaml(folder / "params.yaml")["meta_train"]["algorithms"]:
            meta_train.run(algorithm)
        combine.run()
        evaluate.run()
        report.run()
