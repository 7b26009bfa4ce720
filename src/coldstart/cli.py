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
from typing import TYPE_CHECKING, Annotated

import typer

from coldstart.errors import ColdstartError

if TYPE_CHECKING:
    import pandas as pd

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
    logging.basicConfig(
        level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    try:
        app()
    except ColdstartError as error:
        if left := os.environ.get("COLDSTART_ERROR_FILE"):  # dvc would swallow the exit code
            text = json.dumps({"code": error.exit_code, "error": str(error)})
            Path(left).write_text(text, encoding="utf-8")
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _stage(name: str, run: Callable[[], None], algorithm: str | None = None) -> None:
    """Check all params, run the stage and track it."""
    _our_protocol()
    from coldstart.registry.tracking import tracked_stage

    with tracked_stage(name, algorithm):
        run()


def _cap_threads() -> None:
    """Cap threads before any numerical library loads, then check all params to the last key."""
    from coldstart.params import load_params

    threads = str(load_params().threads)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = threads
    from coldstart.stack.parameters import check_all

    check_all(Path("params.yaml").read_text(encoding="utf-8"))


def _our_protocol() -> None:
    """As :func:`_cap_threads`, and refuse what a legacy protocol has no part in."""
    from coldstart.errors import ParamsError
    from coldstart.params import load_params

    if (protocol := load_params().protocol) != "coldstart":
        raise ParamsError(
            f"protocol: {protocol} is legacy: `coldstart leaderboard` fits and shows it, and "
            "nothing else runs with it; set it back to coldstart"
        )
    _cap_threads()


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
def meta_train(
    algorithm: Annotated[str, typer.Argument(help="A name from meta_train.algorithms.")],
) -> None:
    """Meta-train one algorithm, for every fold and seed; resumes from its checkpoint."""

    def run() -> None:
        from coldstart.stages.meta_train import run

        run(algorithm)

    _stage("meta_train", run, algorithm)


@app.command(rich_help_panel=PIPELINE)
def combine() -> None:
    """Make blend, average and student from the methods that were fitted."""

    def run() -> None:
        from coldstart.stages.combine import run

        run()

    _stage("combine", run)


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


AsJson = Annotated[bool, typer.Option("--json", help="Rows as JSON, for machines.")]


@app.command(rich_help_panel=RESULTS)
def leaderboard(
    metric: Annotated[str | None, typer.Option(help="Only this metric.")] = None,
    k: Annotated[int | None, typer.Option(help="Only this number of shots.")] = None,
    cost: Annotated[
        bool, typer.Option("--cost", help="Add what each method costs, measured now.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the results on cold users, with intervals; with protocol: metarec, those of it."""
    from coldstart.evaluation.console import as_json as to_json
    from coldstart.evaluation.console import below, cost_table, leaderboard_tables
    from coldstart.evaluation.leaderboard import leaderboard_rows
    from coldstart.params import load_params

    if load_params().protocol == "metarec":
        _legacy_leaderboard(metric, k, cost=cost, json_rows=as_json)
        return
    columns = ["dataset", "split", "method", "k", "metric", "mean", "low", "high", "n_users"]
    rows = leaderboard_rows(metric, k)[columns]
    measured = (
        _cost_rows(str(rows["dataset"].iloc[0]), str(rows["split"].iloc[0])) if cost else None
    )
    if as_json:
        typer.echo(to_json(rows if measured is None else below(rows, measured), columns))
        return
    from rich.console import Console

    if metric is None:
        rows = rows[rows["metric"].isin(["rmse", "log_loss", "ndcg@5", "recall@10"])]
    Console().print(leaderboard_tables(rows))
    if measured is not None:
        Console().print(cost_table(measured))


def _cost_rows(dataset: str, split: str) -> pd.DataFrame:
    _cap_threads()
    from coldstart.params import load_params
    from coldstart.registry import cost, store

    with store.needed():
        return cost.rows(cost.costs_here(), dataset, split, load_params().gate.shot)


def _legacy_leaderboard(metric: str | None, k: int | None, *, cost: bool, json_rows: bool) -> None:
    from coldstart.errors import ParamsError

    if metric is not None or k is not None or cost:
        raise ParamsError(
            "protocol: metarec has one support size and no costs; leave out --metric, --k, --cost"
        )
    _cap_threads()
    from coldstart.legacy.board import legacy_rows, tables
    from coldstart.params import load_params

    rows = legacy_rows(load_params())
    if json_rows:
        from coldstart.evaluation.console import as_json

        typer.echo(as_json(rows, list(rows.columns)))
        return
    from rich.console import Console

    Console().print(tables(rows))


@app.command(rich_help_panel=RESULTS)
def compare(
    a: Annotated[str, typer.Argument(help="A method.")],
    b: Annotated[str, typer.Argument(help="The method to subtract.")],
    metric: Annotated[str, typer.Option(help="Metric to compare.")] = "rmse",
    as_json: AsJson = False,
) -> None:
    """Print the paired difference A - B on cold users at every K."""
    from coldstart.evaluation.console import as_json as to_json
    from coldstart.evaluation.console import comparison_table
    from coldstart.evaluation.leaderboard import compare_rows

    rows = compare_rows(a, b, metric)
    if as_json:
        typer.echo(to_json(rows, ["split", "k", "mean", "low", "high"]))
        return
    from rich.console import Console

    Console().print(comparison_table(rows))


@app.command(rich_help_panel=RESULTS)
def tune(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", help="Baselines, algorithms, or 'backbone'.")
    ],
    trials: Annotated[
        int | None, typer.Option(min=1, help="Settings per method; default: tune.trials.")
    ] = None,
    folds: Annotated[
        str | None, typer.Option(help="Folds, for instance 0,1,2; default: prepare.folds.")
    ] = None,
) -> None:
    """Choose the numbers of methods on validation users; resumes, and writes params.yaml."""
    _our_protocol()
    from coldstart.tuning.run import parse_folds, tune

    tune(names, trials, parse_folds(folds))


@app.command(rich_help_panel=DATA)
def fetch(
    update: Annotated[
        bool, typer.Option("--update", help="Read the source again and pin what it has now.")
    ] = False,
) -> None:
    """Bring the dataset of params.yaml into data/; it must be what data.dvc pins."""
    from coldstart.data.fetch import fetch
    from coldstart.params import load_params

    fetched = fetch(load_params().data, Path(), update=update)
    how = "fetched" if fetched.downloaded else "already here"
    typer.echo(f"{fetched.folder}: {how}, as data.dvc pins it")
    if fetched.pinned:
        typer.echo("data.dvc has changed: commit it, so that others get the same data")


@app.command(rich_help_panel=DATA)
def accept() -> None:
    """Make the data that last passed validation the reference for the next delivery."""
    from coldstart.stages.validate import accept

    typer.echo(f"{accept()}: written; commit it")


def _override(pairs: list[str] | None) -> dict[str, object]:
    import yaml

    from coldstart.errors import ParamsError

    overrides = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ParamsError(f"--set {pair}: write KEY=VALUE, for instance data.name=dbook")
        overrides[key] = yaml.safe_load(value)
    return overrides


Effort = Annotated[str, typer.Option(help="Preset of the run: quick, standard or full.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of params.yaml for this run."),
]


@app.command(rich_help_panel=STACK)
def work(
    stage: Annotated[str, typer.Argument(help="A stage of dvc.yaml, or a command to run.")],
    command: Annotated[
        bool, typer.Option("--command", help="STAGE is a coldstart command, run on all results.")
    ] = False,
    arguments: Annotated[list[str] | None, typer.Argument(help="Arguments of the command.")] = None,
) -> None:
    """Run one stage in a scratch workspace: request on standard input, baton on the last line."""
    from coldstart.workspace import Request, run_command, run_stage

    project = Path(os.environ.get("COLDSTART_PROJECT") or ".").absolute()
    request = Request.read(sys.stdin.read())
    if command:
        baton = run_command([stage, *(arguments or [])], request, project)
    else:
        baton = run_stage(stage, request, project)
    print(json.dumps(baton))


@app.command(rich_help_panel=STACK)
def params(
    effort: Effort = "standard",
    set_: Overrides = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what each key means.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only check; print nothing.")] = False,
) -> None:
    """Print the params of a run: params.yaml with a preset and changed keys, all checked."""
    from coldstart.stack.parameters import check_all, explanation, resolved

    if explain:
        from rich.console import Console

        Console().print(explanation())
        return
    text = resolved(effort, _override(set_))
    checked = check_all(text)
    if check:
        import yaml

        from coldstart.tuning.record import warnings

        for line in warnings(checked, yaml.safe_load(text)):
            typer.echo(f"warning: {line}", err=True)
    else:
        typer.echo(text, nl=False)


@app.command(rich_help_panel=STACK)
def up(
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay, and end the stack on TERM or Ctrl-C.")
    ] = False,
) -> None:
    """Start Airflow and MLflow here and leave them running; prints URLs and the login."""
    from coldstart.stack.lifecycle import attend, start, wait_until_ready
    from coldstart.stack.settings import Settings

    settings = Settings.from_environment()
    start(settings)
    wait_until_ready(settings)
    typer.echo(settings.welcome())
    if foreground:
        attend(settings)


@app.command(rich_help_panel=STACK)
def down() -> None:
    """End the stack, and whatever an earlier one left behind."""
    from coldstart.stack.lifecycle import stop
    from coldstart.stack.settings import Settings

    ended = stop(Settings.from_environment())
    typer.echo(f"ended {ended} processes" if ended else "nothing was running")


@app.command(hidden=True)
def note(run_id: str, text: str) -> None:
    """Write the note that Airflow's UI shows on a run."""
    from coldstart.stack.airflow_api import Airflow
    from coldstart.stack.lifecycle import DAG
    from coldstart.stack.settings import USER, Settings

    settings = Settings.from_environment()
    Airflow(settings.airflow_url, USER, settings.password()).set_note(DAG, run_id, text)


@app.command(rich_help_panel=STACK)
def run(
    effort: Effort = "standard",
    set_: Overrides = None,
) -> None:
    """Train, evaluate and promote through Airflow; starts the stack if it is not up."""
    from coldstart.stack.journey import journey
    from coldstart.stack.settings import Settings

    journey(Settings.from_environment(), effort, _override(set_))


@app.command(rich_help_panel=MODELS)
def publish() -> None:
    """Put the results that lie here into MLflow; the last line is JSON with the run's address."""
    _our_protocol()
    from coldstart.registry import store
    from coldstart.registry.publish import publish

    with store.needed():
        print(json.dumps(publish(), sort_keys=True))


@app.command(rich_help_panel=MODELS)
def gate() -> None:
    """Compare the candidate with the champion; the last line is the decision as JSON."""
    _our_protocol()
    from coldstart.registry import store
    from coldstart.registry.gating import gate

    with store.needed():
        print(json.dumps(gate(), sort_keys=True))


Dataset = Annotated[
    str | None, typer.Option("--model", help="Registered model; default: that of params.yaml.")
]


@app.command(rich_help_panel=MODELS)
def promote(
    decision: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="File with the JSON of `gate`.")
    ],
) -> None:
    """Make the version of a decision the champion; the same decision again changes nothing."""
    from coldstart.registry import promotion, store

    with store.needed():
        version = promotion.promote(store.client(), promotion.read_decision(decision))
    print(json.dumps(version.as_json(), sort_keys=True))


@app.command(rich_help_panel=MODELS)
def rollback(
    to: Annotated[
        str | None, typer.Option(help="A version; default: the previous champion.")
    ] = None,
    model: Dataset = None,
) -> None:
    """Make the previous champion, or a version of your choice, the champion."""
    from coldstart.registry import promotion, store

    with store.needed():
        version = promotion.rollback(store.client(), model or promotion.model_here(), to)
    print(json.dumps(version.as_json(), sort_keys=True))


@app.command(rich_help_panel=MODELS)
def champion(
    model: Dataset = None,
    files: Annotated[
        Path | None,
        typer.Option(help="Folder for its dvc.lock, params.yaml and decision.json."),
    ] = None,
) -> None:
    """Show what is served; with --files, fetch what reproduces it."""
    from coldstart.registry import packaging, promotion, store

    name = model or promotion.model_here()
    with store.needed():
        version = promotion.require_champion(store.client(), name)
        if files is not None:
            packaging.fetch_files(version, files)
    print(json.dumps(version.as_json(), sort_keys=True))
