"""Services that die: they run again, or the stack ends and names them; none outlives the stack."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from coldstart import environment
from coldstart.errors import ServiceError
from coldstart.stack import lifecycle, processes, supervisor
from coldstart.stack.airflow_api import Airflow
from coldstart.stack.settings import Settings

from .conftest import make_checkout, make_stack

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("services"), pytest.mark.timeout(600)]
SERVICES = ("api-server", "scheduler", "dag-processor", "mlflow", "reports")


@pytest.fixture(scope="module")
def up(tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A stack that is up and has run nothing."""
    stack = make_stack(make_checkout(tmp_path_factory.mktemp("services") / "c", tiny_source))
    fetched = stack.coldstart("fetch")
    assert fetched.returncode == 0, fetched.stderr
    try:
        started = stack.coldstart("up")
        assert started.returncode == 0, started.stderr
        yield stack
    finally:
        stack.coldstart("down")
    assert stack.processes() == []


def main_process(stack: Any, name: str) -> psutil.Process | None:
    """The process that the supervisor started for a service."""
    for process in stack.processes():
        try:
            marked = process.environ().get(environment.SERVICE.name) == name
            above = process.parent()
            if marked and above is not None and supervisor.MODULE in above.cmdline():
                return process
        except (psutil.Error, OSError):
            continue
    return None


def answers(stack: Any, name: str) -> bool:
    """Whether a service does its work."""
    port = {"api-server": "AIRFLOW", "mlflow": "MLFLOW", "reports": "REPORTS"}.get(name)
    path = {"api-server": "/api/v2/version", "mlflow": "/health"}.get(name, "/")
    if port is None:  # a heartbeat in Airflow's database
        client = Airflow(stack.url, "admin", stack.password)
        try:
            return client.is_scheduling()
        finally:
            client.close()
    address = f"http://127.0.0.1:{stack.environment[f'COLDSTART_{port}_PORT']}{path}"
    try:
        return httpx.get(address, timeout=5).is_success
    except httpx.HTTPError:
        return False


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("name", SERVICES)
def test_a_killed_service_runs_again(up: Any, name: str) -> None:
    """Without what it left behind."""
    before = up.wait_for(lambda: main_process(up, name))
    left = [before, *before.children(recursive=True)]
    before.kill()

    def again() -> bool:
        now = main_process(up, name)
        return now is not None and now.pid != before.pid and answers(up, name)

    up.wait_for(again, seconds=60)
    assert [process for process in left if alive(process)] == []
    assert all(main_process(up, other) for other in SERVICES)


def test_without_its_supervisor_the_stack_ends(up: Any) -> None:
    """And the next `up` makes a whole one."""
    up.wait_for(lambda: main_process(up, "mlflow")).parent().kill()
    up.wait_for(lambda: up.processes() == [], seconds=60)
    again = up.coldstart("up")
    assert again.returncode == 0, again.stderr


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The supervisor with services of no consequence, one of which cannot run."""
    monkeypatch.setenv("COLDSTART_HOME", str(tmp_path))
    settings = Settings.from_environment()
    broken = [sys.executable, "-c", "print('no such table'); raise SystemExit(3)"]
    good = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(supervisor, "services", lambda _: {"good": good, "broken": broken})
    settings.log.parent.mkdir()
    with settings.log.open("ab") as log:
        lifecycle._supervise(settings, settings.environment(), log)
    yield settings
    processes.end(settings.home)
    lifecycle._STARTED.pop().wait()


def test_a_service_that_does_not_stay_up_ends_the_stack_by_name(bare: Settings) -> None:
    with pytest.raises(ServiceError) as said:
        lifecycle._until(lambda: False, "good", bare, time.monotonic() + 60)
    assert "a service ended while the stack started" in str(said.value)
    assert "no such table\nbroken does not stay up, so the stack ends" in str(said.value)
    deadline = time.monotonic() + 60
    while processes.of_stack(bare.home):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_service_that_does_not_answer_in_time_is_named(bare: Settings) -> None:
    with pytest.raises(ServiceError, match=r"^good did not get ready in time"):
        lifecycle._until(lambda: False, "good", bare, time.monotonic())


def test_paths_may_hold_what_supervisord_expands(tmp_path: Path) -> None:
    settings = replace(Settings.from_environment(), home=tmp_path / "50% of it")
    assert f"pidfile = {tmp_path}/50%% of it/supervisord.pid" in supervisor.configuration(settings)
