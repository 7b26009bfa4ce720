import subprocess
import sys
from pathlib import Path
from typing import Any

from coldstart.registry import runs


def test_runs_are_found_again(client: Any) -> None:
    experiment, parent = runs.parent(client, "coldstart-x", "key")
    child = runs.child(client, experiment, parent, "key", "meta_train@maml")
    assert runs.parent(client, "coldstart-x", "key") == (experiment, parent)
    assert runs.child(client, experiment, parent, "key", "meta_train@maml") == child
    assert runs.child(client, experiment, parent, "key", "prepare") != child
    assert runs.parent(client, "coldstart-x", "other")[1] != parent
    assert client.get_run(child).data.tags["mlflow.parentRunId"] == parent


def test_two_processes_make_one_parent(home: Path) -> None:
    code = (
        "from coldstart.registry import runs, store\n"
        "print(runs.parent(store.client(), 'coldstart-x', 'key')[1])"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [racer.communicate()[0].strip() for racer in racers]
    assert said[0] == said[1] != ""


def test_of_two_hosts_at_once_the_oldest_run_stays(client: Any) -> None:
    """Another host creates the same run between our search and our creation."""
    experiment = runs.experiment(client, "coldstart-x")
    tags = {runs.KEY: "key", runs.STAGE: "_parent"}
    create = client.create_run
    theirs = []

    def create_late(experiment_id: str, **options: Any) -> Any:
        if not theirs:
            theirs.append(create(experiment_id, start_time=1, **options).info.run_id)
        return create(experiment_id, **options)

    client.create_run = create_late
    assert runs.find_or_create(client, experiment, tags, "key") == theirs[0]
    assert [run.info.run_id for run in runs.find(client, experiment, tags)] == theirs


def test_a_param_keeps_its_first_value_and_a_batch_may_be_large(client: Any) -> None:
    _, run = runs.parent(client, "coldstart-x", "key")
    params = {f"p{i}": str(i) for i in range(230)}
    points = [("m/rmse", 1.0 / (k + 1), k) for k in range(1100)]
    runs.log(client, run, params=params, points=points)
    runs.log(client, run, params={"p0": "changed"}, tags={"t": "1"})
    data = client.get_run(run).data
    assert data.params == params
    assert data.tags["t"] == "1"
    assert [m.step for m in client.get_metric_history(run, "m/rmse")] == list(range(1100))
