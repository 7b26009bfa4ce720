"""Airflow and MLflow on this machine, and one stage of a run on any."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from coldstart import environment


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


def work(
    stage: Annotated[str, typer.Argument(help="A stage of dvc.yaml, or a command to run.")],
    command: Annotated[
        bool, typer.Option("--command", help="STAGE is a coldstart command, run on all results.")
    ] = False,
    arguments: Annotated[list[str] | None, typer.Argument(help="Arguments of the command.")] = None,
) -> None:
    """Run one stage in a scratch workspace: request on standard input, baton on the last line."""
    from coldstart.workspace import Request, run_command, run_stage

    project = environment.project()
    request = Request.read(sys.stdin.read())
    if command:
        baton = run_command([stage, *(arguments or [])], request, project)
    else:
        baton = run_stage(stage, request, project)
    print(json.dumps(baton))


def params(
    effort: Effort = "standard",
    set_: Overrides = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what each key means.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only check; print nothing.")] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Set the keys of --set in params.yaml itself.")
    ] = False,
) -> None:
    """Print the params of a run: params.yaml with a preset and changed keys, all checked."""
    from coldstart.cli.common import write_params
    from coldstart.cli.explain import explanation
    from coldstart.errors import ParamsError
    from coldstart.methods import check_all
    from coldstart.params import resolved

    if explain:
        from rich.console import Console

        Console().print(explanation())
        return
    if write:
        if effort != "standard" or not set_:
            raise ParamsError("--write: sets the keys of --set KEY=VALUE, without a preset")
        write_params(_override(set_))
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


def down() -> None:
    """End the stack, and whatever an earlier one left behind."""
    from coldstart.stack.lifecycle import stop
    from coldstart.stack.settings import Settings

    ended = stop(Settings.from_environment())
    typer.echo(f"ended {ended} processes" if ended else "nothing was running")


def note(run_id: str, text: str) -> None:
    """Write the note that Airflow's UI shows on a run."""
    from coldstart.stack.airflow_api import Airflow
    from coldstart.stack.lifecycle import DAG
    from coldstart.stack.settings import USER, Settings

    settings = Settings.from_environment()
    Airflow(settings.airflow_url, USER, settings.password()).set_note(DAG, run_id, text)


def run(
    effort: Effort = "standard",
    set_: Overrides = None,
) -> None:
    """Train, evaluate and promote through Airflow; starts the stack if it is not up."""
    from coldstart.stack.journey import journey
    from coldstart.stack.settings import Settings

    journey(Settings.from_environment(), effort, _override(set_))
