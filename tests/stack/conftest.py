"""A checkout of its own with a small dataset, and one real stack that all tests here share."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from coldstart import environment
from coldstart.stack.airflow_api import Airflow
from coldstart.stack.settings import USER

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("src", "dags", "expectations", "dvc.yaml", ".dvcignore", ".gitignore", "params.yaml")
DAG = "coldstart_train"


def small(params: dict[str, Any], source: Path) -> dict[str, Any]:
    """The project's params on the tiny dataset, with little training."""
    params["threads"] = 1
    params["data"] |= {"name": "tiny", "source": str(source)}
    params["prepare"] |= {"n_folds": 3, "validation_share": 0.2, "min_ratings": 15}
    params["prepare"] |= {"query_size": 5, "shots": [0, 1, 3, 5, 10]}
    params["pretrain"]["mf"] |= {"sweeps": 3, "crossfit": 2}
    params["meta_train"]["algorithms"] = ["maml", "bayes_head"]
    loop = {"max_steps": 30, "batch_size": 16, "query_size": 5, "max_support": 10}
    params["meta_train"]["loop"] |= {**loop, "eval_every": 10, "checkpoint_every": 1}
    params["evaluate"] |= {"resamples": 200, "min_segment": 5}
    # the first run promotes nothing, so that a run with a lower bar can
    params["gate"] |= {"min_improvement": 9.0, "max_segment_regression": 9.0}
    params["effort"] = {"quick": {}, "standard": {}, "full": {}}
    return params


def make_checkout(folder: Path, source: Path) -> Path:
    """A copy of the project, as an archive without git is, whose params name the tiny dataset."""
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    folder.mkdir(parents=True)
    for part in PARTS:
        origin = ROOT / part
        if origin.is_dir():
            shutil.copytree(origin, folder / part, ignore=ignore)
        else:
            shutil.copyfile(origin, folder / part)
    (folder / ".dvc").mkdir()
    shutil.copyfile(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
    params = small(yaml.safe_load((folder / "params.yaml").read_text()), source)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Stack:
    """A checkout and the environment of its commands."""

    checkout: Path
    environment: dict[str, str]
    first_run: str = ""
    client: Airflow | None = None

    @property
    def home(self) -> Path:
        return self.checkout / ".coldstart"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.environment['COLDSTART_AIRFLOW_PORT']}"

    @property
    def password(self) -> str:
        return str(json.loads((self.home / "airflow" / "secrets.json").read_text())["password"])

    def airflow(self) -> Airflow:
        if self.client is None:
            self.client = Airflow(self.url, USER, self.password)
        return self.client

    def coldstart(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "coldstart", *arguments)

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.checkout,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(environment.STACK.name) == str(self.home):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def find(self, *words: str) -> psutil.Process | None:
        """A process whose command line holds all words (not the shell around it)."""
        for process in self.processes():
            try:
                line = process.cmdline()
            except psutil.Error:
                continue
            if len(line) > 2 and line[1] != "-c" and all(w in " ".join(line) for w in words):
                return process
        return None

    @staticmethod
    def wait_for(condition: Callable[[], Any], seconds: float = 400) -> Any:
        """Poll until ``condition`` is true; returns its value."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, "waited too long"
            time.sleep(0.3)
        return value

    def finish(self, run_id: str) -> str:
        """Wait for the end of a run; returns its state."""
        airflow = self.airflow()

        def ended() -> str | None:
            state = str(airflow.run(DAG, run_id)["state"])
            return state if state in ("success", "failed") else None

        return str(self.wait_for(ended))

    def batons(self, run_id: str, *stages: str) -> dict[str, Any]:
        """``dvc.lock`` entries by stage, from what the tasks handed on."""
        airflow = self.airflow()
        found: dict[str, Any] = {}
        for task in airflow.tasks(DAG, run_id):
            if task["task_id"] in stages:
                answer = airflow.xcom(DAG, run_id, task["task_id"], task["map_index"])
                found |= answer["lock"]
        return found


def make_stack(checkout: Path) -> Stack:
    ports = ("COLDSTART_AIRFLOW_PORT", "COLDSTART_MLFLOW_PORT", "COLDSTART_REPORTS_PORT")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("COLDSTART_", "MLFLOW_"))}
    return Stack(
        checkout,
        kept
        | {port: str(free_port()) for port in ports}
        | {
            "PYTHONPATH": str(checkout / "src"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}",
        },
    )


@pytest.fixture
def checkout_at(tiny_source: Path) -> Callable[[Path], Path]:
    """Makes a checkout in a folder that does not exist yet."""
    return lambda folder: make_checkout(folder, tiny_source)


@pytest.fixture(scope="session")
def stack(tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack after one `coldstart run`, up; it must leave no process behind."""
    made = make_stack(make_checkout(tmp_path_factory.mktemp("stack") / "checkout", tiny_source))
    try:
        up = made.coldstart("up")
        assert up.returncode == 0, up.stderr
        run = made.coldstart("run")
        assert run.returncode == 0, run.stderr
        made.first_run = run.stdout
        yield made
    finally:
        if made.client is not None:
            made.client.close()
        down = made.coldstart("down")
    assert down.returncode == 0, down.stderr
    assert made.processes() == []
