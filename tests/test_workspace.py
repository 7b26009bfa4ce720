"""The baton: two places that share nothing but the remote take turns and agree."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from ruamel.yaml.cyaml import CParser

from coldstart.dvc_command import dvc_batch
from coldstart.dvc_files import dvc_config, write_lock
from coldstart.errors import DataError, ParamsError, ServiceError
from coldstart.workspace import Request, run_command, run_stage, workspace
from places import place, request


def test_two_places_that_share_only_the_remote_agree_with_one(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere" / "project"
    shutil.copytree(project, elsewhere)
    lock: dict[str, Any] = {}
    order = ["prepare", "meta_train@maml", "meta_train@reptile", "evaluate"]
    for number, stage in enumerate(order):
        place(monkeypatch, tmp_path / ("a" if number % 2 else "b"))
        baton = run_stage(stage, request(project, lock), elsewhere if number % 2 else project)
        assert not baton["restored"]
        lock |= baton["lock"]
    assert [p for host in "ab" for p in (tmp_path / host / "home" / "work").glob("stage-*")] == []

    shutil.rmtree(tmp_path / "remote" / "runs")  # or the run cache would answer
    place(monkeypatch, tmp_path / "c")
    single: dict[str, Any] = {}
    for stage in order:
        baton = run_stage(stage, request(project, single), project)
        assert not baton["restored"]
        single |= baton["lock"]
    assert single == lock, json.dumps([single, lock])


def test_a_stage_that_anyone_has_computed_is_restored(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(monkeypatch, tmp_path / "a")
    first = run_stage("prepare", request(project), project)
    place(monkeypatch, tmp_path / "b")
    second = run_stage("prepare", request(project, run_id="another"), project)
    assert (first["restored"], second["restored"]) == (False, True)
    assert first["lock"] == second["lock"]


def test_a_run_keeps_the_data_that_it_began_with(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the checkout pins meanwhile, or never did."""
    place(monkeypatch, tmp_path / "a")
    begun = request(project)
    (project / "data" / "ml-100k").mkdir(parents=True)
    (project / "data" / "ml-100k" / "x").write_text("newer ratings")
    (project / ".dvc").mkdir()
    (project / ".dvc" / "config").write_text(dvc_config(no_scm=True))
    subprocess.run(dvc_batch([["add", "-q", "data"], ["push", "-q"]]), cwd=project, check=True)
    assert request(project).data != begun.data
    outs = [run_stage("prepare", r, project)["lock"]["prepare"] for r in (begun, request(project))]
    for text, entry in zip((b"ratings", b"newer ratings"), outs, strict=True):
        listing = [{"md5": hashlib.md5(text).hexdigest(), "relpath": "x"}]
        md5 = hashlib.md5(json.dumps(listing).encode()).hexdigest() + ".dir"
        assert entry["outs"][0]["md5"] == md5


@pytest.mark.parametrize("data", ["", "outs: []", "- x"])
def test_a_request_needs_its_data(project: Path, data: str) -> None:
    with pytest.raises(ParamsError, match=r"request: data must be the text of data\.dvc"):
        run_stage("prepare", replace(request(project), data=data), project)


def test_a_command_sees_all_results_and_its_files(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(monkeypatch, tmp_path / "a")
    lock = run_stage("prepare", request(project), project)["lock"]
    lock |= run_stage("meta_train@maml", request(project, lock), project)["lock"]
    answer = run_command(
        ["gate"], request(project, lock, files={"d.json": '{"promote": true}'}), project
    )
    assert answer == {
        "seen": ["artifacts/models/maml/x", "artifacts/prepared/x"],
        "promote": True,
    }


def test_what_a_stage_says_is_wrong_survives_dvc(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(monkeypatch, tmp_path / "a")
    monkeypatch.setenv("FAIL", "prepare")
    with pytest.raises(DataError, match="row 7: rating 9"):
        run_stage("prepare", request(project), project)
    assert list((tmp_path / "a" / "home" / "work").glob("stage-*")) == []


def test_a_stage_that_is_killed_is_worth_another_try(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(monkeypatch, tmp_path / "a")
    monkeypatch.setenv("DIE", "prepare")
    with pytest.raises(ServiceError, match="ended with"):
        run_stage("prepare", request(project), project)


@pytest.mark.parametrize("stage", ["train", "meta_train", "prepare@maml"])
def test_an_unknown_stage_is_refused(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    place(monkeypatch, tmp_path / "a")
    with pytest.raises(ParamsError, match="is not one of"):
        run_stage(stage, request(project), project)


@pytest.mark.parametrize("text", ["", "[]", '{"params": "", "colour": 1}', "{}"])
def test_a_malformed_request_is_refused(text: str) -> None:
    with pytest.raises(ParamsError, match="request"):
        Request.read(text)


def test_a_lock_is_written_as_dvc_writes_it(tmp_path: Path) -> None:
    entry = {"cmd": "x", "params": {"params.yaml": {"a": None}}, "outs": [{"path": "b"}]}
    write_lock(tmp_path / "dvc.lock", {"s": entry})
    assert (tmp_path / "dvc.lock").read_text() == (
        "schema: '2.0'\nstages:\n  s:\n    cmd: x\n    params:\n      params.yaml:\n"
        "        a:\n    outs:\n    - path: b\n"
    )


@pytest.mark.parametrize("whom", ["worker", "runner"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_one_that_started_it(
    tmp_path: Path, number: int, whom: str
) -> None:
    started, running = tmp_path / "started", tmp_path / "running"
    sleep = f"""
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path({str(started)!r}).write_text(f"{{os.getpid()}} {{child.pid}}")
time.sleep(600)
"""
    runner = f"""
import os, pathlib, sys
from coldstart.process import run_group
pathlib.Path({str(running)!r}).write_text(str(os.getpid()))
run_group([sys.executable, "-c", {sleep!r}], cwd=pathlib.Path("."), env=os.environ)
"""
    worker = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {runner!r}])"
    outer = subprocess.Popen([sys.executable, "-c", worker], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (started.exists() and started.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(outer.pid if whom == "worker" else int(running.read_text()), number)
    outer.wait()
    while any(alive(int(pid)) for pid in [running.read_text(), *started.read_text().split()]):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_task_leaves_nothing(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its processes end with it; the next task on this host removes its folder, and no other."""
    place(monkeypatch, tmp_path / "a")
    work, started = tmp_path / "a" / "home" / "work", tmp_path / "started"
    sleep = f"""
import os, pathlib, time
pathlib.Path({str(started)!r}).write_text(str(os.getpid()))
time.sleep(600)
"""
    (project / "src" / "coldstart" / "__main__.py").write_text(sleep)
    task = subprocess.Popen(
        [sys.executable, "-m", "coldstart", "work", "prepare"],
        env=os.environ | {"COLDSTART_PROJECT": str(project)},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert task.stdin is not None
    task.stdin.write(json.dumps(vars(request(project))))
    task.stdin.close()
    deadline = time.monotonic() + 60
    while not (started.exists() and started.read_text()):
        assert task.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (first,) = work.glob("stage-*")
    with workspace(project, request(project)) as second:
        assert first.exists(), "it is at work"
        task.kill()
        task.wait()
        while alive(int(started.read_text())):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with workspace(project, request(project)) as third:
            assert set(work.glob("stage-*")) == {second, third}
    assert list(work.glob("stage-*")) == []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_dvc_parses_with_libyaml() -> None:
    """Its parser in Python takes four times as long, and most of the time of a dvc command."""
    assert YAML(typ="safe").Parser is CParser
