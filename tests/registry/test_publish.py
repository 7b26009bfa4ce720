"""What a workspace leaves in its parent run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from coldstart.errors import ArtefactError
from coldstart.registry import computed, publish, runs
from coldstart.registry.cost import Cost
from coldstart.registry.stamp import stamped

REVISION = "c0ffee" * 6 + "c0ff"


@pytest.fixture
def published(workspace: Path, client: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("COLDSTART_REVISION", REVISION)
    return publish.publish()


def test_the_parent_run_holds_everything(
    workspace: Path, client: Any, published: dict[str, str]
) -> None:
    run = client.get_run(published["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["prepare.split"] == "random"
    assert run.data.params["meta_train.algorithms"] == "['finetune']"
    history = client.get_metric_history(run.info.run_id, "finetune/rmse")
    assert sorted(point.step for point in history) == [0, 1, 5]
    assert run.data.metrics["bias/ndcg_at_5"] > 0
    assert run.data.metrics["finetune/bundle_bytes"] > 0
    assert run.data.tags["mlflow.source.git.commit"] == REVISION
    (dataset,) = [entry.dataset for entry in run.inputs.dataset_inputs]
    assert dataset.name == "tiny"
    assert dataset.digest in (workspace / "artifacts" / "prepared" / "summary.json").read_text()
    files = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"report.html", "leaderboard.md", "dvc.lock", "params.yaml", "plots"} <= files
    stored = client.download_artifacts(run.info.run_id, "dvc.lock")
    assert Path(stored).read_bytes() == (workspace / "dvc.lock").read_bytes()


def test_the_copy_is_stamped_and_the_artefact_is_not(
    workspace: Path, published: dict[str, str]
) -> None:
    copy = Path(published["report"])
    assert copy.parent.name == "run-1"
    assert REVISION in copy.read_text()
    assert "finetune" in copy.read_text()
    assert "coldstart:stamp" in (workspace / "artifacts" / "report.html").read_text()


def test_again_changes_nothing(client: Any, published: dict[str, str]) -> None:
    assert publish.publish() == published
    assert len(client.get_metric_history(published["run_id"], "finetune/rmse")) == 3


def test_a_restored_stage_names_the_run_that_computed_it(
    workspace: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = "meta_train@finetune"
    experiment, parent = runs.parent(client, "coldstart-tiny", "run-1")
    first = runs.child(client, experiment, parent, "run-1", stage)
    runs.log(client, first, metrics={"seconds": 12.5})
    runs.end(client, first, "FINISHED")
    publish.publish()
    monkeypatch.setenv("COLDSTART_RUN_KEY", "run-2")
    second = client.get_run(publish.publish()["run_id"])
    assert second.data.metrics["finetune/train_seconds"] == 12.5
    tags = {runs.KEY: "run-2", runs.STAGE: stage}
    (restored,) = runs.find(client, experiment, tags)
    assert restored.data.tags["coldstart.restored"] == "true"
    assert restored.data.tags["coldstart.computed_by"] == first


def test_nothing_to_publish(here: Path) -> None:
    with pytest.raises(ArtefactError, match=r"dvc.lock: .*run `dvc repro` first"):
        publish.publish()


def test_the_digest_of_a_lock_is_that_of_its_content() -> None:
    one = yaml.safe_load("{a: {cmd: x, outs: [{path: p, md5: m}]}}")
    other = yaml.safe_load("{a: {outs: [{md5: m, path: p}], cmd: x}}")
    assert computed.entry_digest(one) == computed.entry_digest(other)


def test_a_stamp_is_escaped_and_needs_its_place() -> None:
    cost = Cost("maml<", 1234.5, 80.0, 1.25, 2048)
    text = stamped("<p>before</p><!-- coldstart:stamp -->", {"run": "<b>", "empty": ""}, [cost])
    assert "&lt;b&gt;" in text
    assert "maml&lt;" in text
    assert "1,234.5" in text
    assert "empty" not in text
    with pytest.raises(ArtefactError, match="coldstart:stamp"):
        stamped("<p></p>", {}, [])
