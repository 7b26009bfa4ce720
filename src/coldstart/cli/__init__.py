"""The ``coldstart`` command line: one subcommand per stage, and what surrounds the pipeline.

Imports are inside the commands: ``coldstart --help`` and the light commands load no torch.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from coldstart import environment
from coldstart.cli.data import accept, fetch
from coldstart.cli.importing import import_
from coldstart.cli.pipeline import (
    combine,
    evaluate,
    meta_train,
    prepare,
    pretrain,
    report,
    ship,
    validate,
)
from coldstart.cli.recommend import recommend
from coldstart.cli.registry import champion, gate, promote, publish, rollback
from coldstart.cli.results import compare, leaderboard, tune
from coldstart.cli.stack import down, note, params, run, up, work
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

PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    PIPELINE: (validate, prepare, pretrain, meta_train, combine, evaluate, report, ship),
    RESULTS: (leaderboard, compare, tune),
    DATA: (fetch, import_, accept),
    STACK: (work, params, up, down, run),
    MODELS: (publish, gate, promote, rollback, champion, recommend),
}
for _panel, _commands in PANELS.items():
    for _command in _commands:
        _name = _command.__name__.strip("_").replace("_", "-")  # import_ cannot be called import
        app.command(_name, rich_help_panel=_panel)(_command)
app.command(hidden=True)(note)


def main() -> None:
    """Run the command line; an error that the user can act upon is one message and an exit code."""
    logging.basicConfig(
        level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    try:
        app()
    except ColdstartError as error:
        if left := environment.ERROR_FILE.text():  # dvc would swallow the exit code
            text = json.dumps({"code": error.exit_code, "error": str(error)})
            Path(left).write_text(text, encoding="utf-8")
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
