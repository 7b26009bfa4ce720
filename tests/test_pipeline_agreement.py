"""One verb, five places: stages/, the command line, params.yaml, dvc.yaml and the DAG agree."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from coldstart.cli import PIPELINE, app
from coldstart.params import Params

ROOT = Path(__file__).resolve().parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def spec(stage: str) -> dict:
    return STAGES[stage].get("do", STAGES[stage])


def outs(stage: str) -> list[str]:
    found = spec(stage)
    return [*found.get("outs", []), *found.get("metrics", []), *found.get("plots", [])]


def overlap(dep: str, out: str) -> bool:
    a, b = Path(dep), Path(out.replace("/${item}", ""))
    return a == b or a in b.parents or b in a.parents


def dvc_edges() -> set[tuple[str, str]]:
    return {
        (source, target)
        for target in STAGES
        for source in STAGES
        if source != target
        and any(overlap(dep, out) for dep in spec(target)["deps"] for out in outs(source))
    }


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict:
    home = tmp_path_factory.mktemp("airflow")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/dags/describe.py"), str(ROOT / "dags")],
        env={
            **os.environ,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])["dags"]["coldstart_train"]["tasks"]


def test_every_stage_is_a_module() -> None:
    modules = {path.stem for path in (ROOT / "src/coldstart/stages").glob("[a-z]*.py")}
    assert modules == set(STAGES)


def test_every_stage_is_a_command_and_dvc_runs_it() -> None:
    commands = {
        str(info.name or info.callback.__name__).replace("_", "-")
        for info in app.registered_commands
        if info.rich_help_panel == PIPELINE
    }
    assert commands == {name.replace("_", "-") for name in STAGES}
    known = typer.main.get_command(app).commands
    for name in STAGES:
        program, command, *arguments = spec(name)["cmd"].split()
        assert (program, command) == ("coldstart", name.replace("_", "-"))
        assert len(arguments) == sum(p.param_type_name == "argument" for p in known[command].params)


def test_every_stage_depends_on_its_own_section_and_module() -> None:
    sections = {field.alias or name for name, field in Params.model_fields.items()}
    for name in STAGES:
        assert f"src/coldstart/stages/{name}.py" in spec(name)["deps"]
        roots = {key.partition(".")[0] for key in spec(name)["params"]}
        assert roots <= sections
        assert name in roots or name in ("report", "ship"), f"{name} has no section in params.yaml"


def test_every_stage_is_a_task(tasks: dict) -> None:
    assert {name for name, task in tasks.items() if task["kind"] == "Stage"} == set(STAGES)


def test_the_edges_are_the_same(tasks: dict) -> None:
    dag = {
        (source, target)
        for target in STAGES
        for source in tasks[target]["upstream"]
        if source in STAGES
    }
    assert dag == dvc_edges()


def test_no_output_belongs_to_two_stages() -> None:
    paths = [path for stage in STAGES for path in outs(stage)]
    assert len(paths) == len(set(paths))
    assert all(path.startswith("artifacts/") for path in paths)
