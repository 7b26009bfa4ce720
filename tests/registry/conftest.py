"""A registry of its own for every test, and a small workspace with evaluated results."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from coldstart.params import read_yaml, resolve
from coldstart.registry import gating, store

ROOT = Path(__file__).resolve().parents[2]
OVERRIDES = {
    "threads": 1,
    "data.name": "tiny",
    "prepare.n_folds": 3,
    "prepare.min_ratings": 15,
    "prepare.query_size": 5,
    "prepare.shots": [0, 1, 5],
    "gate.max_adapt_ms": 10_000.0,
    "meta_train.algorithms": ["finetune"],
    "combine.student.steps": 5,
    "meta_train.loop.batch_size": 8,
    "evaluate.resamples": 100,
    "evaluate.min_segment": 5,
}


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables: creating them takes seconds, copying does not."""
    home = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLDSTART_HOME", str(home))
        patch.setenv("MLFLOW_TRACKING_URI", "")
        store.client()
    return home / "mlflow" / "mlflow.db"


@pytest.fixture
def home(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``COLDSTART_HOME`` with an empty registry."""
    folder = tmp_path / "home"
    (folder / "mlflow").mkdir(parents=True)
    shutil.copyfile(empty_database, folder / "mlflow" / "mlflow.db")
    monkeypatch.setenv("COLDSTART_HOME", str(folder))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it; the test's end takes it away
    for name in ("COLDSTART_RUN_KEY", "COLDSTART_TRACKING"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def client(home: Path) -> Any:
    return store.client()


def tiny_params() -> dict[str, Any]:
    return resolve(read_yaml(ROOT / "params.yaml"), "standard", OVERRIDES)


@pytest.fixture
def here(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a ``params.yaml``."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "params.yaml").write_text(yaml.safe_dump(tiny_params(), sort_keys=False))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def evaluated(tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which everything up to ``evaluate`` has run; do not write to it."""
    from coldstart.data.sources import read_source
    from coldstart.intake.profile import profile_of
    from coldstart.params import load_params
    from coldstart.stages import combine, evaluate, meta_train, prepare, pretrain, ship

    folder = tmp_path_factory.mktemp("workspace")
    shutil.copytree(tiny_source, folder / "data" / "tiny")
    (folder / "params.yaml").write_text(yaml.safe_dump(tiny_params(), sort_keys=False))
    (folder / "artifacts").mkdir()
    data = load_params(folder / "params.yaml").data
    profile = profile_of(read_source(folder / "data" / "tiny", "tiny"), data)
    validation = {"digest": profile["digest"], "profile": profile}
    (folder / "artifacts" / "validation.json").write_text(json.dumps(validation))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLDSTART_HOME", str(folder / "state"))
        prepare.run()
        pretrain.run()
        meta_train.run("finetune")
        combine.run()
        evaluate.run()
        ship.run()
    write_lock(folder, "finetune")
    (folder / "artifacts" / "report.html").write_text("<body><!-- coldstart:stamp --></body>")
    (folder / "artifacts" / "leaderboard.md").write_text("| method | rmse |\n")
    return folder


@pytest.fixture
def workspace(evaluated: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the evaluated workspace, as the working directory."""
    folder = tmp_path / "workspace"
    shutil.copytree(evaluated, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLDSTART_RUN_KEY", "run-1")
    return folder


def write_lock(folder: Path, algorithm: str) -> None:
    """``data.dvc`` and ``dvc.lock`` as if DVC had run the stages there."""
    (folder / "data.dvc").write_text("outs: [{path: data, md5: x}]")
    before = ("validate", "prepare", "pretrain", f"meta_train@{algorithm}")
    stages = (*before, "combine", "evaluate", "report", "ship")
    lock = {name: {"cmd": name, "outs": [{"path": name, "md5": "0" * 32}]} for name in stages}
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": lock}))


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A candidate passes, whatever a dozen users say; the checks are tested elsewhere."""
    monkeypatch.setattr(gating, "all", lambda checks: True, raising=False)


Arguments = Callable[[int], list[str]]


@contextmanager
def running(arguments: Arguments, health: str) -> Iterator[str]:
    """Run ``mlflow`` with arguments for a free port until the end; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", *arguments(port)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as server:
        try:
            deadline = time.monotonic() + 180
            while not _answers(f"{address}/{health}"):
                assert server.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server does not come up"
                time.sleep(0.2)
            yield address
        finally:
            os.killpg(server.pid, signal.SIGKILL)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def run_mlflow() -> Callable[[Arguments, str], AbstractContextManager[str]]:
    """:func:`running`, for test modules."""
    return running


@pytest.fixture
def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The MLflow server of the embedded stack; also what ``MLFLOW_TRACKING_URI`` names."""

    def arguments(port: int) -> list[str]:
        return ["server", *store.server_arguments("127.0.0.1", port)]

    with running(arguments, "health") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        yield address
