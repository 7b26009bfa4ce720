"""Results: the leaderboard, comparisons, tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from coldstart.cli.common import cap_threads, our_protocol

if TYPE_CHECKING:
    import pandas as pd

AsJson = Annotated[bool, typer.Option("--json", help="Rows as JSON, for machines.")]


def leaderboard(
    metric: Annotated[str | None, typer.Option(help="Only this metric.")] = None,
    k: Annotated[int | None, typer.Option(help="Only this number of shots.")] = None,
    cost: Annotated[
        bool, typer.Option("--cost", help="Add what each method costs, measured now.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the results on cold users, with intervals; with protocol: metarec, those of it."""
    from coldstart.evaluation.leaderboard import leaderboard_rows
    from coldstart.evaluation.metrics import METRICS
    from coldstart.params import load_params
    from coldstart.reporting.console import as_json as to_json
    from coldstart.reporting.console import below, cost_table, leaderboard_tables, show

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
    if metric is None:
        rows = rows[rows["metric"].isin([m.name for m in METRICS.values() if m.compared])]
    show(leaderboard_tables(rows))
    if measured is not None:
        show(cost_table(measured))


def _cost_rows(dataset: str, split: str) -> pd.DataFrame:
    cap_threads()
    from coldstart.params import load_params
    from coldstart.registry import cost, store

    with store.needed():
        return cost.rows(cost.costs_here(), dataset, split, load_params().prepare.shots[-1])


def _legacy_leaderboard(metric: str | None, k: int | None, *, cost: bool, json_rows: bool) -> None:
    from coldstart.errors import ParamsError

    if metric is not None or k is not None or cost:
        raise ParamsError(
            "protocol: metarec has one support size and no costs; leave out --metric, --k, --cost"
        )
    cap_threads()
    from coldstart.metarec.board import legacy_rows, tables
    from coldstart.params import load_params

    rows = legacy_rows(load_params())
    if json_rows:
        from coldstart.reporting.console import as_json

        typer.echo(as_json(rows, list(rows.columns)))
        return
    from coldstart.reporting.console import show

    show(tables(rows))


def compare(
    a: Annotated[str, typer.Argument(help="A method.")],
    b: Annotated[str, typer.Argument(help="The method to subtract.")],
    metric: Annotated[
        str | None, typer.Option(help="Metric to compare; default: the goal's.")
    ] = None,
    never_validated: Annotated[
        bool,
        typer.Option("--never-validated", help="Leave out who validates in another fold."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the paired difference A - B on cold users at every K."""
    from coldstart.evaluation.leaderboard import compare_rows
    from coldstart.reporting.console import as_json as to_json
    from coldstart.reporting.console import comparison_table, show

    rows = compare_rows(a, b, metric, never_validated=never_validated)
    if as_json:
        typer.echo(to_json(rows, list(rows.columns)))
        return
    show(comparison_table(rows))


def tune(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME", help="Baselines, algorithms, combinations, or 'backbone'."),
    ],
    trials: Annotated[
        int | None, typer.Option(min=1, help="Settings per method; default: tune.trials.")
    ] = None,
    folds: Annotated[
        str | None, typer.Option(help="Folds, for instance 0,1,2; default: prepare.folds.")
    ] = None,
) -> None:
    """Choose the numbers of methods on validation users; resumes, and writes params.yaml."""
    our_protocol()
    from coldstart.tuning.run import parse_folds, tune

    tune(names, trials, parse_folds(folds))
