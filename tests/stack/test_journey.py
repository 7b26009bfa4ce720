"""The real Airflow and MLflow on a small dataset: what a run promises, also when it is hurt."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DAG = "coldstart_train"
STAGES = tuple(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
Alone = Callable[..., dict[str, Any]]
pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack"), pytest.mark.timeout(900)]


@pytest.fixture
def alone(stack: Any, checkout_at: Callable[[Path], Path], tmp_path: Path) -> Alone:
    """Gives the ``dvc.lock`` entries of a run's params in a checkout that shares nothing."""

    def compute(run: str, *targets: str) -> dict[str, Any]:
        checkout = checkout_at(tmp_path / run.replace(":", "-"))
        (checkout / "params.yaml").write_text(stack.airflow().xcom(DAG, run, "configure")["params"])
        own = {"PYTHONPATH": str(checkout / "src"), "COLDSTART_TRACKING": "off"}
        place = replace(stack, checkout=checkout, environment={**stack.environment, **own})
        fetched = place.coldstart("fetch")
        assert fetched.returncode == 0, fetched.stderr
        done = place.python("-m", "dvc", "repro", *targets)
        assert done.returncode == 0, done.stderr
        lock: dict[str, Any] = yaml.safe_load((checkout / "dvc.lock").read_text())["stages"]
        assert done.stdout.count("Running stage") == len(lock), "something was restored"
        return lock

    return compute


def test_the_first_run_ends_with_leaderboard_decision_and_version(stack: Any) -> None:
    for part in ("bayes_head", "Gate: ", "Registered: ", "Report: "):
        assert part in stack.first_run


def test_dvc_repro_then_has_nothing_to_do(stack: Any) -> None:
    repro = stack.python("-m", "dvc", "repro")
    assert repro.returncode == 0, repro.stderr
    assert "Running stage" not in repro.stdout
    assert "up to date" in stack.python("-m", "dvc", "status").stdout


def test_two_runs_at_once_get_the_results_that_each_has_alone(stack: Any, alone: Alone) -> None:
    """Both runs, all stages; params differ so that every stage behind the data's differs too."""
    airflow = stack.airflow()
    runs = [
        airflow.trigger(
            DAG,
            {
                "algorithms": ["bayes_head"],
                "overrides": {
                    "seed": seed,
                    "validate.min_ratings": 1000 + seed,
                    "algorithms.bayes_head.outer_rate": 0.01 * seed,
                },
            },
        )
        for seed in (1, 2)
    ]
    assert [stack.finish(run) for run in runs] == ["success", "success"]
    told = [airflow.run(DAG, run) for run in runs]
    assert max(run["start_date"] for run in told) < min(run["end_date"] for run in told)
    together = [stack.batons(run, *STAGES) for run in runs]
    outs = [{stage: entry["outs"] for stage, entry in lock.items()} for lock in together]
    # what validate writes tells of the data, which is the same; its limits are in its lock entry
    assert [stage for stage in outs[0] if outs[0][stage] == outs[1][stage]] == ["validate"]
    assert together[0]["validate"]["params"] != together[1]["validate"]["params"]
    for run, lock in zip(runs, together, strict=True):
        assert alone(run) == lock


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


def test_a_killed_training_is_tried_again_and_gives_the_same_bundle(
    stack: Any, alone: Alone
) -> None:
    airflow = stack.airflow()
    run = airflow.trigger(DAG, {"overrides": {"seed": 3}, "algorithms": ["maml"]})
    stack.wait_for(lambda: stack.find("bin/coldstart", "meta-train maml")).send_signal(
        signal.SIGKILL
    )
    assert stack.finish(run) == "success"
    tries = [t["try_number"] for t in airflow.tasks(DAG, run) if t["task_id"] == "meta_train"]
    assert tries == [2]
    hurt = stack.batons(run, "meta_train")["meta_train@maml"]
    assert alone(run, "meta_train@maml")["meta_train@maml"] == hurt


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


def test_params_text_round_trips(stack: Any) -> None:
    text = stack.coldstart("params").stdout
    assert yaml.safe_load(text) == yaml.safe_load((stack.checkout / "params.yaml").read_text())
