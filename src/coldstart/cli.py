"""The ``coldstart`` command line: one subcommand per stage, and what surrounds the pipeline.

Imports are inside the commands: ``coldstart --help`` and the light commands load no torch.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from coldstart.errors import ColdstartError

app = typer.Typer(
    name="coldstart",
    help=__doc__.split("\n", 1)[0] if __doc__ else None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

PIPELINE = "The pipeline (each is a stage of dvc.yaml and a task of the DAG)"
DATA = "Data"
RESULTS = "Results"
MODELS = "The registry"
STACK = "The stack"


def main() -> None:
    """Run the command line; an error that the user can act upon is one message and an exit code."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        app()
    except ColdstartError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _stage(name: str, run: Callable[[], None], algorithm: str | None = None) -> None:
    """Check all params, cap threads before any numerical library loads, run and track the stage."""
    from coldstart.params import load_params

    threads = str(load_params().threads)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = threads
    from coldstart.registry.tracking import tracked_stage

    with tracked_stage(name, algorithm):
        run()


@app.command(rich_help_panel=PIPELINE)
def validate() -> None:
    """Check the data against the expectations; a failure stops everything downstream."""

    def run() -> None:
        from coldstart.stages.validate import run

        run()

    _stage("validate", run)


@app.command(rich_help_panel=PIPELINE)
def prepare() -> None:
    """Write canonical tables, features, split and episodes."""

    def run() -> None:
        from coldstart.stages.prepare import run

        run()

    _stage("prepare", run)


@app.command(rich_help_panel=PIPELINE)
def pretrain() -> None:
    """Fit backbones and baselines on the historical users."""

    def run() -> None:
        from coldstart.stages.pretrain import run

        run()

    _stage("pretrain", run)


@app.command(rich_help_panel=PIPELINE)
def meta_train(algorithm: Annotated[str, typer.Argument(help="A name from meta_train.algorithms.")]) -> None:
    """Meta-train one algorithm, for every fold and seed; resumes from its checkpoint."""

    def run() -> None:
        from coldstart.stages.meta_train import run

        run(algorithm)

    _stage("meta_train", run, algorithm)


@app.command(rich_help_panel=PIPELINE)
def evaluate() -> None:
    """Score every method on cold users: K-sweep, intervals, segments, canaries."""

    def run() -> None:
        from coldstart.stages.evaluate import run

        run()

    _stage("evaluate", run)


@app.command(rich_help_panel=PIPELINE)
def report() -> None:
    """Write report.html and leaderboard.md."""

    def run() -> None:
        from coldstart.stages.report import run

        run()

    _stage("report", run)
