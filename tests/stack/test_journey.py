"""The real Airflow and MLflow on a small dataset: what a run promises, also when it is hurt."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import yaml

DAG = "coldstart_train"
pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]


def outs(lock: dict[str, Any]) -> dict[str, Any]:
    return {stage: entry["outs"] for stage, entry in lock.items()}


def test_the_first_run_ends_with_leaderboard_decision_and_version(stack: Any) -> None:
    for part in ("bayes_head", "Gate: ", "Registered: ", "Report: "):
        assert part in stack.first_run


def test_dvc_repro_then_has_nothing_to_do(stack: Any) -> None:
    repro = stack.python("-m", "dvc", "repro")
    assert repro.returncode == 0, repro.stderr
    assert "Running stage" not in repro.stdout
    assert "up to date" in stack.python("-m", "dvc", "status").stdout


def test_two_runs_at_once_get_the_results_that_each_has_alone(stack: Any) -> None:
    stages = ("prepare", "meta_train")
    runs = [
        stack.airflow().trigger(DAG, {"overrides": {"seed": seed}, "algorithms": ["bayes_head"]})
        for seed in (1, 2)
    ]
    assert [stack.finish(run) for run in runs] == ["success", "success"]
    together = [outs(stack.batons(run, *stages)) for run in runs]
    assert together[0]["prepare"] != together[1]["prepare"]
    assert outs(alone(stack, runs[0], "prepare", "meta_train@bayes_head")) == together[0]


def test_a_refused_form_says_why_on_the_run(stack: Any) -> None:
    airflow = stack.airflow()
    run = airflow.trigger(DAG, {"overrides": {"gate.shots": 3}})
    assert stack.finish(run) == "failed"
    assert "gate.shots" in airflow.run(DAG, run)["note"]


def test_bad_data_stops_the_run_without_another_try(stack: Any) -> None:
    airflow = stack.airflow()
    run = airflow.trigger(DAG, {"overrides": {"validate.min_ratings": 10_000_000}})
    assert stack.finish(run) == "failed"
    assert "validate: " in airflow.run(DAG, run)["note"]
    tasks = {
        task["task_id"]: (task["state"], task["try_number"]) for task in airflow.tasks(DAG, run)
    }
    assert tasks["validate"] == ("failed", 1)
    assert tasks["prepare"][0] == "upstream_failed"


def test_a_killed_training_is_tried_again_and_gives_the_same_bundle(stack: Any) -> None:
    airflow = stack.airflow()
    run = airflow.trigger(DAG, {"overrides": {"seed": 3}, "algorithms": ["maml"]})
    stack.wait_for(lambda: stack.find("bin/coldstart", "meta-train maml")).send_signal(
        signal.SIGKILL
    )
    assert stack.finish(run) == "success"
    tries = [t["try_number"] for t in airflow.tasks(DAG, run) if t["task_id"] == "meta_train"]
    assert tries == [2]
    hurt = outs(stack.batons(run, "meta_train"))
    assert outs(alone(stack, run, "meta_train@maml")) == hurt


def test_a_killed_stack_is_taken_up_again(stack: Any) -> None:
    arguments = [sys.executable, "-m", "coldstart", "run", "--set", "seed=4"]
    run = subprocess.Popen(
        arguments,
        cwd=stack.checkout,
        env=stack.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.wait_for(lambda: stack.find("coldstart work pretrain"))
    for process in stack.processes():
        process.kill()
    assert run.wait(120) != 0
    again = stack.coldstart("run", "--set", "seed=4")
    assert again.returncode == 0, again.stderr
    assert "it goes on" in again.stderr
    assert stack.processes() == [], "it ends the stack that it started"
    assert stack.coldstart("up").returncode == 0


def test_a_taken_port_is_named_with_its_variable(stack: Any) -> None:
    other = replace(stack, environment={**stack.environment, "COLDSTART_HOME": f"{stack.home}-2"})
    said = other.coldstart("up")
    assert said.returncode != 0
    assert f"port {stack.environment['COLDSTART_AIRFLOW_PORT']} is in use" in said.stderr
    assert "COLDSTART_AIRFLOW_PORT" in said.stderr


def alone(stack: Any, run: str, *stages: str) -> dict[str, Any]:
    """The lock of ``stages`` computed anew: no run cache, no checkpoint, no other run beside it."""
    home = stack.home.parent / "alone"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(stack.home / "dvc" / "remote" / "files", home / "dvc" / "remote" / "files")
    environment = {**stack.environment, "COLDSTART_HOME": str(home), "COLDSTART_TRACKING": "off"}
    params = stack.airflow().xcom(DAG, run, "configure")
    lock = stack.batons(run, "validate", "prepare", "pretrain")
    made: dict[str, Any] = {}
    for stage in stages:
        upstream = {name: entry for name, entry in lock.items() if name != stage}
        done = subprocess.run(
            [sys.executable, "-m", "coldstart", "work", stage],
            input=json.dumps({"params": params, "lock": upstream}),
            cwd=stack.checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        baton = json.loads(done.stdout.splitlines()[-1])
        assert not baton["restored"]
        made |= baton["lock"]
    return made


def test_params_text_round_trips(stack: Any) -> None:
    text = stack.coldstart("params").stdout
    assert yaml.safe_load(text) == yaml.safe_load((stack.checkout / "params.yaml").read_text())
