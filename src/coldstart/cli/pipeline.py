"""One command per stage of the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from coldstart.cli.common import our_protocol


def _stage(name: str, run: Callable[[], None], algorithm: str | None = None) -> None:
    """Check all params, run the stage and track it."""
    our_protocol()
    from coldstart.registry.tracking import tracked_stage

    with tracked_stage(name, algorithm):
        run()


def validate() -> None:
    """Check the data against the expectations; a failure stops everything downstream."""

    def run() -> None:
        from coldstart.stages.validate import run

        run()

    _stage("validate", run)


def prepare() -> None:
    """Write canonical tables, features, split and episodes."""

    def run() -> None:
        from coldstart.stages.prepare import run

        run()

    _stage("prepare", run)


def pretrain() -> None:
    """Fit backbones and baselines on the historical users."""

    def run() -> None:
        from coldstart.stages.pretrain import run

        run()

    _stage("pretrain", run)


def meta_train(
    algorithm: Annotated[str, typer.Argument(help="A name from meta_train.algorithms.")],
) -> None:
    """Meta-train one algorithm, for every fold and seed; resumes from its checkpoint."""

    def run() -> None:
        from coldstart.stages.meta_train import run

        run(algorithm)

    _stage("meta_train", run, algorithm)


def combine() -> None:
    """Make blend, average and student from the methods that were fitted."""

    def run() -> None:
        from coldstart.stages.combine import run

        run()

    _stage("combine", run)


def evaluate() -> None:
    """Score every method on cold users: K-sweep, intervals, segments, canaries."""

    def run() -> None:
        from coldstart.stages.evaluate import run

        run()

    _stage("evaluate", run)


def ship() -> None:
    """Learn the candidate's recipe again from every user and every rating: what is served."""

    def run() -> None:
        from coldstart.stages.ship import run

        run()

    _stage("ship", run)


def report() -> None:
    """Write report.html and leaderboard.md."""

    def run() -> None:
        from coldstart.stages.report import run

        run()

    _stage("report", run)
