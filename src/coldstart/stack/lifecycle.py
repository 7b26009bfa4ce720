"""Start the stack and wait until it answers; end it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import IO

import httpx
import psutil

from coldstart.errors import ServiceError
from coldstart.registry import store
from coldstart.stack import processes, supervisor
from coldstart.stack.airflow_api import Airflow
from coldstart.stack.ports import require_free
from coldstart.stack.settings import USER, Settings
from coldstart.stack.watch import last_lines

DAG = "coldstart_train"
_STARTED: list[subprocess.Popen[bytes]] = []
"""Supervisors of this process; one must not be collected while it runs."""


def is_up(settings: Settings) -> bool:
    """Whether the stack of this home has its supervisor."""
    for process in processes.of_stack(settings.home):
        try:
            if supervisor.MODULE in process.cmdline():
                return True
        except (OSError, psutil.Error):
            continue
    return False


def start(settings: Settings) -> bool:
    """Start what is not running. Returns False if the stack was up already.

    Raises:
        ServiceError: a port is taken, or a service ended while it started.
    """
    if is_up(settings):
        return False
    processes.end(settings.home)
    require_free(settings.host, settings.ports())
    settings.site.mkdir(parents=True, exist_ok=True)
    for folder in (settings.log.parent, settings.airflow_home, store.home()):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # databases, keys, and logs that may name people
    docs = settings.site / "data-docs"
    if not docs.is_symlink():
        docs.symlink_to(Path("..") / "data-docs")
    environment = settings.environment()
    with settings.log.open("ab") as log:
        _migrate(settings, environment, log)
        _supervise(settings, environment, log)
    return True


def wait_until_ready(settings: Settings, *, seconds: float = 180.0) -> Airflow:
    """Wait until Airflow knows the DAG and MLflow answers; then set up pool and DAG.

    Raises:
        ServiceError: not within ``seconds``, or a service ended; shows the log's last lines.
    """
    deadline = time.monotonic() + seconds
    airflow = Airflow(settings.airflow_url, USER, settings.password())
    address = f"{settings.airflow_url}/api/v2/version"
    _until(lambda: _answers(address), "api-server", settings, deadline)
    _until(lambda: airflow.has_dag(DAG), "dag-processor", settings, deadline)
    _until(airflow.is_scheduling, "scheduler", settings, deadline)
    _until(lambda: _answers(f"{settings.mlflow_url}/health"), "mlflow", settings, deadline)
    airflow.set_pool("gpu", settings.gpu_slots, "Trainings at once: one per GPU.")
    return airflow


def attend(settings: Settings) -> None:
    """Stay until TERM or Ctrl-C and end the stack then: how a container runs it.

    Raises:
        ServiceError: a service ended by itself; shows the log's last lines.
    """

    def leave(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    try:
        wait_until_ready(settings)
        while is_up(settings):
            time.sleep(1.0)
    except KeyboardInterrupt:
        return
    finally:
        stop(settings)
    raise ServiceError(f"a service ended:\n{_tail(settings.log)}")


def stop(settings: Settings) -> int:
    """End the stack; returns the number of processes that were running."""
    return processes.end(settings.home)


def _supervise(settings: Settings, environment: dict[str, str], log: IO[bytes]) -> None:
    started = subprocess.Popen(
        supervisor.command(settings),
        cwd=settings.project,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    _STARTED.append(started)


def _migrate(settings: Settings, environment: dict[str, str], log: IO[bytes]) -> None:
    done = settings.airflow_home / f"migrated-{version('apache-airflow')}"
    if done.exists() and settings.database.exists() and settings.database.stat().st_size > 0:
        return
    migration = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=environment,
        stdout=log,
        stderr=log,
        check=False,
    )
    if migration.returncode != 0:
        raise ServiceError(f"airflow db migrate failed:\n{_tail(settings.log)}")
    done.touch()


def _until(
    condition: Callable[[], bool], service: str, settings: Settings, deadline: float
) -> None:
    while not condition():
        if not is_up(settings):
            raise ServiceError(f"a service ended while the stack started:\n{_tail(settings.log)}")
        if time.monotonic() > deadline:
            log = _tail(settings.service_log(service))
            raise ServiceError(f"{service} did not get ready in time:\n{log}")
        time.sleep(0.3)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def _tail(log: Path) -> str:
    return f"{last_lines(log)}(all of it: {log})"
