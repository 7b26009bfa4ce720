"""Follow a run of the DAG: a table in a terminal, a line per change in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from coldstart.stack.airflow_api import Airflow

_MARKS = {
    "success": "[green]✓[/]",
    "failed": "[red]✗[/]",
    "upstream_failed": "[red]–[/]",
    "skipped": "[dim]–[/]",
    "running": "[cyan]●[/]",
    "up_for_retry": "[yellow]↻[/]",
    "awaiting_input": "[yellow]?[/]",
}
DONE = ("success", "failed")


def follow(airflow: Airflow, dag: str, run_id: str, alive: Callable[[], None]) -> str:
    """Show the run until it ends; returns its last state.

    Args:
        airflow: client of the API.
        dag: id of the DAG.
        run_id: id of the run.
        alive: called now and then; raises if there is nothing left to wait for.
    """
    console = Console(stderr=True)
    if sys.stderr.isatty():
        with Live(console=console, refresh_per_second=4) as live:
            return _watch(airflow, dag, run_id, alive, lambda tasks: live.update(_table(tasks)))
    seen: dict[str, str] = {}
    return _watch(airflow, dag, run_id, alive, lambda tasks: _print_changes(console, tasks, seen))


def _watch(
    airflow: Airflow,
    dag: str,
    run_id: str,
    alive: Callable[[], None],
    show: Callable[[list[dict[str, Any]]], None],
) -> str:
    while True:
        state = str(airflow.run(dag, run_id)["state"])
        show(sorted(airflow.tasks(dag, run_id), key=_order))
        if state in DONE:
            return state
        alive()
        time.sleep(1.0)


def _order(task: dict[str, Any]) -> tuple[str, str]:
    return (task["start_date"] or "9", task["task_display_name"])


def _name(task: dict[str, Any]) -> str:
    label = task.get("rendered_map_index")
    if task["map_index"] < 0:
        return str(task["task_id"])
    return f"{task['task_id']} {label or task['map_index']}"


def _seconds(task: dict[str, Any]) -> float | None:
    if task["duration"] is not None:
        return float(task["duration"])
    if task["start_date"] is None:
        return None
    began = datetime.fromisoformat(task["start_date"])
    return (datetime.now(began.tzinfo) - began).total_seconds()


def _table(tasks: list[dict[str, Any]]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for task in tasks:
        seconds = _seconds(task)
        table.add_row(
            _MARKS.get(task["state"], "[dim]·[/]"),
            _name(task),
            f"[dim]{task['state'] or 'waiting'}[/]",
            f"{seconds:.0f} s" if seconds is not None else "",
        )
    return table


def _print_changes(console: Console, tasks: list[dict[str, Any]], seen: dict[str, str]) -> None:
    for task in tasks:
        name, state = _name(task), task["state"]
        key = f"{task['task_id']} {task['map_index']}"
        if state in (None, "scheduled", "queued") or seen.get(key) == state:
            continue
        seen[key] = state
        seconds = _seconds(task)
        took = f" ({seconds:.0f} s)" if seconds is not None and state != "running" else ""
        console.print(f"{_MARKS.get(state, '·')} {name} {state}{took}", highlight=False)
