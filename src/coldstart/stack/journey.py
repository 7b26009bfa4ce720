"""`coldstart run`: from data to a decision about the champion, through Airflow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import yaml
from rich.console import Console

from coldstart import environment, layout
from coldstart.dvc_command import dvc, has_git
from coldstart.dvc_files import Lock, dvc_config
from coldstart.errors import ColdstartError, ServiceError
from coldstart.methods import check_all
from coldstart.params import Params, resolved
from coldstart.stack import lifecycle, results
from coldstart.stack.airflow_api import Airflow
from coldstart.stack.follow import follow
from coldstart.stack.lifecycle import DAG
from coldstart.stack.settings import Settings

_UNFINISHED = ("queued", "running")
_ORDER = ("validate", "prepare", "pretrain", "meta_train", "combine", "evaluate", "report", "ship")


def journey(settings: Settings, effort: str, overrides: Mapping[str, Any]) -> None:
    """Fetch, start the stack if need be, run the DAG, show the result, end what was started.

    Raises:
        ColdstartError: what made the run fail, in the words of the task that failed.
    """
    params = check_all(resolved(effort, overrides))
    started = lifecycle.start(settings)
    try:
        provide_data(settings, params)
        airflow = lifecycle.wait_until_ready(settings)
        conf = {"effort": effort, "overrides": dict(overrides)}
        run_id = _resume(airflow, conf) or airflow.trigger(DAG, conf)
        _say(f"run {run_id}: {settings.airflow_url}/dags/{DAG}/runs/{run_id}")
        state = follow(airflow, DAG, run_id, lambda: _require_up(settings))
        if state != "success":
            raise ColdstartError(_reason(airflow, run_id, settings))
        _conclude(settings, airflow, run_id)
    finally:
        if started:
            lifecycle.stop(settings)


def provide_data(settings: Settings, params: Params) -> None:
    """Fetch the data if it is not there, and put it where every worker finds it."""
    if settings.home != settings.project / ".coldstart" or environment.DVC_REMOTE.text():
        # the checkout's own commands then need the same remote and cache as the workers
        local = settings.project / ".dvc" / "config.local"
        local.write_text(dvc_config(no_scm=not has_git(settings.project)), encoding="utf-8")
    from coldstart.intake.fetch import fetch

    fetch(params.data, settings.project)
    dvc("push", "--quiet", "data.dvc", cwd=settings.project)


def _resume(airflow: Airflow, conf: Mapping[str, Any]) -> str | None:
    """A run with the same form that a dead stack left unfinished; others of its kind are failed."""
    for run in airflow.runs(DAG, *_UNFINISHED):
        if run["conf"] == conf and run["run_type"] == "manual":
            _say("a run with the same params was cut off; it goes on")
            return str(run["dag_run_id"])
    return None


def _require_up(settings: Settings) -> None:
    if not lifecycle.is_up(settings):
        raise ServiceError(f"the stack ended; its log is {settings.log}")


def _reason(airflow: Airflow, run_id: str, settings: Settings) -> str:
    note = airflow.run(DAG, run_id).get("note")
    failed = [t["task_id"] for t in airflow.tasks(DAG, run_id) if t["state"] == "failed"]
    logs = settings.airflow_home / "logs" / f"dag_id={DAG}" / f"run_id={run_id}"
    return f"the run failed in {', '.join(failed) or 'the scheduler'}.\n{note or ''}\nLogs: {logs}"


def _conclude(settings: Settings, airflow: Airflow, run_id: str) -> None:
    """Check out the results and print leaderboard, decision and version."""
    run, lock = _batons(airflow, run_id)
    folder = results.keep(settings, run_id, run, lock)
    here = results.check_out(settings, run, lock)
    console = Console()
    if here:
        text = (settings.project / layout.LEADERBOARD).read_text(encoding="utf-8")
    else:
        text = (settings.site / "reports" / run_id / "leaderboard.md").read_text(encoding="utf-8")
    print(text)
    decision = airflow.xcom(DAG, run_id, "gate") or {}
    console.print(f"Gate: {decision.get('summary')}", soft_wrap=True)
    console.print(f"Registered: {_registered(airflow, run_id, decision)}", soft_wrap=True)
    _recommend(settings)
    report = settings.site / "reports" / run_id / layout.REPORT.name
    console.print(f"Report: {report}", soft_wrap=True)
    if not here:
        text = f"artifacts/ stays: params.yaml or data.dvc differs from what lies in {folder}"
        console.print(text, soft_wrap=True)


def _recommend(settings: Settings) -> None:
    """Print what the champion would show three unlike newcomers, if there is one."""
    subprocess.run(
        [sys.executable, "-m", "coldstart", "recommend"],
        cwd=settings.project,
        env=settings.environment(),
        check=False,
    )


def _registered(airflow: Airflow, run_id: str, decision: Mapping[str, Any]) -> str:
    promoted = airflow.xcom(DAG, run_id, "promote")
    if promoted:
        return f"{promoted['model']} version {promoted['version']} is the champion"
    champion = decision.get("champion")
    if champion:
        return f"{decision['model']} version {champion['version']} stays the champion"
    return "nothing; there is no champion yet"


def _batons(airflow: Airflow, run_id: str) -> tuple[results.Run, Lock]:
    """What a run began with and its whole lock, put together from what its tasks returned."""
    run = results.Run(**airflow.xcom(DAG, run_id, "configure"))
    trained = len(yaml.safe_load(run.params)["meta_train"]["algorithms"])
    lock: Lock = {}
    for stage in _ORDER:
        for index in range(trained) if stage == "meta_train" else (-1,):
            baton = airflow.xcom(DAG, run_id, stage, index)
            if baton is None:
                raise ServiceError(f"run {run_id}: {stage} returned nothing")
            lock |= baton["lock"]
    return run, lock


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
