"""A stage is recorded beside its work; no outage, failure or kill of either hurts the other."""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from coldstart.registry import runs, tracking

EXPERIMENT = "coldstart-tiny"


@pytest.fixture(autouse=True)
def _patient(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_GRACE", 120.0)
    monkeypatch.setenv("COLDSTART_RUN_KEY", "key")


def recorded(client: Any, stage: str) -> Any:
    experiment, _ = runs.parent(client, EXPERIMENT, "key")
    (run,) = runs.find(client, experiment, {runs.KEY: "key", runs.STAGE: stage})
    return run


def test_a_failure_and_its_retry_are_one_run(here: Path, client: Any) -> None:
    history = here / "artifacts" / "models" / "maml" / "fold-0" / "seed-0" / "history.csv"
    history.parent.mkdir(parents=True)
    history.write_text("step,train_loss,validation_loss\n50,1.5,1.4\n100,1.2,\n")
    with pytest.raises(ZeroDivisionError), tracking.tracked_stage("meta_train", "maml"):
        _ = 1 / 0
    failed = recorded(client, "meta_train@maml")
    assert failed.info.status == "FAILED"
    assert failed.data.tags[runs.REASON] == "ZeroDivisionError: division by zero"
    parent = client.get_run(failed.data.tags["mlflow.parentRunId"])
    assert parent.info.status == "FAILED"
    assert "meta_train@maml: ZeroDivisionError" in parent.data.tags["mlflow.note.content"]

    with tracking.tracked_stage("meta_train", "maml"):
        pass
    run = recorded(client, "meta_train@maml")
    assert run.info.status == "FINISHED"
    assert run.data.tags[runs.ATTEMPTS] == "2"
    assert run.data.tags[runs.REASON] == ""
    assert run.data.params["threads"] == "1"
    assert run.data.metrics["seconds"] >= 0
    assert run.data.metrics["peak_rss_mb"] > 10
    assert run.data.metrics["fold-0/seed-0/train_loss"] == 1.2
    curve = client.get_metric_history(run.info.run_id, "fold-0/seed-0/validation_loss")
    assert {(m.step, m.value) for m in curve} == {(50, 1.4)}
    assert client.get_run(parent.info.run_id).info.status == "RUNNING"


def test_a_killed_stage_is_recorded_as_killed(here: Path, client: Any) -> None:
    code = (
        "import os, signal, coldstart.registry.tracking as t\n"
        "with t.tracked_stage('prepare'):\n"
        "    open('recorder', 'w').write(str(t._STARTED[-1].pid))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    _wait_for(int((here / "recorder").read_text()))
    run = recorded(client, "prepare")
    assert run.info.status == "KILLED"
    assert run.data.tags[runs.REASON] == "the process was killed"


def _wait_for(pid: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(timeout=60)


def test_an_outage_warns_once_and_fails_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with caplog.at_level(logging.WARNING), tracking.tracked_stage("prepare"):
        done = True
    assert done
    (warning,) = caplog.records
    assert "not fully recorded in MLflow" in warning.message
    assert "127.0.0.1" in warning.message


def test_off(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLDSTART_TRACKING", "off")
    monkeypatch.setattr(tracking.subprocess, "Popen", lambda *_: pytest.fail("started a recorder"))
    with tracking.tracked_stage("prepare"):
        pass
