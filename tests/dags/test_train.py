"""The DAG file: it parses fast and light, says what it does, and its form is closed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


REFUSED = [
    ({"epochs": 3}, "epochs"),
    ({"effort": "heroic"}, "heroic"),
    ({"device": "tpu"}, "tpu"),
    ({"goal": "clicks"}, "clicks"),
    ({"split": "hourly"}, "hourly"),
    ({"algorithms": ["magic"]}, "magic"),
    ({"algorithms": [1]}, "algorithms"),
    ({"seeds": [-1]}, "seeds"),
    ({"min_improvement": -0.1}, "min_improvement"),
    ({"overrides": {"gate.shots": 3}}, "gate.shots"),
    ({"overrides": {"prepare.query_size": 0}}, "query_size"),
]


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict:
    home = tmp_path_factory.mktemp("airflow")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("describe.py")), str(ROOT / "dags")],
        env={
            **os.environ,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        },
        input=json.dumps([{}, *(given for given, _ in REFUSED)]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_all_dag_files_parse_without_a_heavy_import(facts: dict) -> None:
    assert facts["errors"] == {}
    assert facts["forbidden"] == []
    assert facts["seconds"] < 1, "CPU seconds, of which Airflow's own share is most"
    assert set(facts["dags"]) == {"coldstart_train"}


def test_every_field_of_the_form_is_described_and_bounded(facts: dict) -> None:
    dag = facts["dags"]["coldstart_train"]
    assert list(dag["params"]) == [
        *("dataset", "split", "algorithms", "goal", "effort", "device", "seeds"),
        *("require_approval", "min_improvement", "overrides"),
    ]
    assert all(dag["descriptions"].values())
    assert dag["params"]["split"]["enum"] == ["random", "temporal"]
    assert dag["params"]["effort"]["enum"] == ["quick", "standard", "full"]
    file = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert dag["params"]["algorithms"]["items"]["enum"] == sorted(file["algorithms"])


def test_training_waits_in_the_gpu_pool_and_promotion_marks_the_champion(facts: dict) -> None:
    tasks = facts["dags"]["coldstart_train"]["tasks"]
    assert (tasks["meta_train"]["pool"], tasks["meta_train"]["queue"]) == ("gpu", "gpu")
    assert tasks["promote"]["outlets"] == ["coldstart_champion"]
    assert tasks["configure"]["retries"] == 0
    assert facts["dags"]["coldstart_train"]["max_active_runs"] > 1


def test_the_docstring_names_every_task(facts: dict) -> None:
    dag = facts["dags"]["coldstart_train"]
    shown = set(dag["tasks"]) - {"algorithms", "route"}  # wiring, not steps
    assert [name for name in shown if f"`{name}`" not in dag["doc"]] == []


@pytest.mark.parametrize(
    ("number", "said"), list(enumerate((said for _, said in REFUSED), start=1))
)
def test_a_form_with_a_wrong_key_or_value_is_refused(facts: dict, number: int, said: str) -> None:
    assert facts["forms"][number].startswith("refused: ")
    assert said in facts["forms"][number]


def test_the_untouched_form_gives_params_yaml(facts: dict) -> None:
    assert yaml.safe_load(facts["forms"][0]) == yaml.safe_load((ROOT / "params.yaml").read_text())
