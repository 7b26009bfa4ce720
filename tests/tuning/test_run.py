"""The command end to end: what it writes, and that nothing is lost when it is killed."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock
from typer.testing import CliRunner

from coldstart import layout
from coldstart.baselines import BASELINES
from coldstart.cli import app
from coldstart.errors import ArtefactError, ColdstartError, ParamsError
from coldstart.models.backbone import Backbone
from coldstart.models.bundle import Bundle
from coldstart.params import load_params
from coldstart.tuning.objective import Objective
from coldstart.tuning.record import warnings
from coldstart.tuning.run import parse_folds, tune
from coldstart.tuning.target import find_target

RUN = "import sys; from coldstart.tuning.run import tune; tune(['maml'], trials=5)"


def _raw(folder: Path) -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load((folder / "params.yaml").read_text())
    return raw


def test_the_choice_lands_in_params_with_its_record(project: Path) -> None:
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("  bias:\n", "  bias: # why\n"))
    before = _raw(project)
    start = find_target("bias", load_params()).start
    tune(["bias"], trials=8, folds=(0, 1))
    after = _raw(project)
    record = after["tuned"]["baselines"]["bias"]
    assert (record["trials"], record["folds"]) == (8, [0, 1])
    assert "  bias: # why\n" in path.read_text()
    chosen = {key: after["baselines"]["bias"][key] for key in start}
    assert chosen != start, "eight settings of tiny hold a better one than ml-100k's"
    after["baselines"]["bias"] |= start
    assert after | {"tuned": {}} == before, "nothing else may change"

    params = load_params()
    assert warnings(params, _raw(project)) == []
    target = find_target("bias", params)
    objective = Objective(target, params, _prepared(), [0, 1])
    error = objective(target.at({}), lambda step, value: None)
    assert record["objective"] == pytest.approx(error, abs=1e-5)


def _prepared() -> Any:
    from coldstart.data.prepared import Prepared

    return Prepared.load()


def test_a_finished_study_costs_nothing_and_says_the_same(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune(["bias"], trials=6)
    text = (project / "params.yaml").read_text()

    def again(*_: Any) -> float:
        raise AssertionError("a trial was made again")

    monkeypatch.setattr(Objective, "__call__", again)
    tune(["bias"], trials=6)
    assert (project / "params.yaml").read_text() == text


def test_other_inputs_are_another_study(project: Path) -> None:
    tune(["bias"], trials=2)
    tune(["bias"], trials=2, folds=(1,))
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("seed: 0", "seed: 5", 1))
    tune(["bias"], trials=2)
    assert len(list((project / ".coldstart/tuning").glob("bias-*/study.db"))) == 3


@pytest.mark.parametrize(
    "changed", [{"seeds": [3]}, {"negatives": {"number": 2, "alpha": 0.75}}], ids=lambda c: min(c)
)
def test_another_training_is_another_study(
    project: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    """Of a learner, and of a student, whose lessons are drawn like training episodes."""
    monkeypatch.setattr(Objective, "__call__", lambda *_: 1.0)
    for fold in (0, 1):
        bundle = fitted_bias(fold)
        bundle.save(layout.fold_folder(layout.BASELINES / "bias", fold))
    raw = _raw(project)
    raw |= {"head": "click"}  # has negatives
    raw["combine"] = {"student": raw["combine"]["student"] | {"teacher": "bias"}}
    for update in ({}, changed):
        raw["meta_train"] |= update
        (project / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
        tune(["maml", "student"], trials=1)
    for name in ("maml", "student"):
        assert len(list((project / ".coldstart/tuning").glob(f"{name}-*/study.db"))) == 2


def fitted_bias(fold: int) -> Bundle:
    params, prepared = load_params(), _prepared()
    section: Any = find_target("bias", params).at({})
    backbone = Backbone.from_bundle(Bundle.load(layout.fold_folder(layout.BACKBONE, fold)))
    history, users = prepared.history(fold), prepared.eval_episodes(fold, "validation")
    return BASELINES["bias"].fit(history, backbone, users, section, params.seed).to_bundle()


def test_every_method_gets_the_same_number_of_trials(project: Path) -> None:
    path = project / "params.yaml"
    raw = _raw(project)
    raw["tune"]["trials"] = 3
    path.write_text(yaml.safe_dump(raw))
    said = CliRunner().invoke(app, ["tune", "ridge", "finetune", "bias"])
    assert said.exit_code == 0, said.output
    tuned = _raw(project)["tuned"]
    records = {**tuned["baselines"], **tuned["algorithms"]}
    assert {name: record["trials"] for name, record in records.items()} == {
        "ridge": 3,
        "finetune": 3,
        "bias": 3,
    }


def test_the_backbone_is_tuned_from_the_prepared_data(project: Path) -> None:
    shutil.rmtree(project / layout.BACKBONE)
    tune(["backbone"], trials=2)
    assert _raw(project)["tuned"]["pretrain"]["mf"]["trials"] == 2


def test_names_are_checked_before_any_work(project: Path) -> None:
    with pytest.raises(ParamsError, match="mamal: not a section"):
        tune(["bias", "mamal"], trials=2)
    with pytest.raises(ParamsError, match="the backbone alone"):
        tune(["backbone", "ridge"], trials=2)
    assert not (project / ".coldstart").exists()


def test_without_pretrained_folds_it_says_what_to_run(project: Path) -> None:
    shutil.rmtree(project / layout.BACKBONE)
    with pytest.raises(ArtefactError, match="run `dvc repro -s pretrain`"):
        tune(["ridge"], trials=2)


def test_two_processes_do_not_tune_one_method_at_once(project: Path) -> None:
    tune(["bias"], trials=1)
    (folder,) = (project / ".coldstart/tuning").glob("bias-*")
    with (
        FileLock(folder / "lock"),
        pytest.raises(ColdstartError, match=r"baselines\.bias: another process is tuning it"),
    ):
        tune(["bias"], trials=2)


@pytest.mark.parametrize("text", ["0,1,0", "a", "0;1", "", "-1"])
def test_folds_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ParamsError, match="write distinct numbers"):
        parse_folds(text)


def test_folds_are_read() -> None:
    assert parse_folds("2, 0") == (2, 0)
    assert parse_folds(None) == ()


def _start(folder: Path) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COLDSTART")}
    return subprocess.Popen(
        [sys.executable, "-c", RUN],
        cwd=folder,
        env=environment | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def _trials(folder: Path, states: str) -> int:
    for path in folder.glob(".coldstart/tuning/maml-*/study.db"):
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
                query = f"select count(*) from trials where state in ({states})"
                return int(database.execute(query).fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # being created
    return 0


def _kill_in_mid_trial(process: subprocess.Popen[str], folder: Path, ended: int) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if _trials(folder, "'COMPLETE', 'PRUNED'") >= ended and _trials(folder, "'RUNNING'"):
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return
        assert process.poll() is None, "the study ended before it could be killed"
        time.sleep(0.005)  # waits for another process, not for the clock
    raise AssertionError("no trial ended")


def test_a_study_killed_in_mid_trial_chooses_what_an_undisturbed_one_does(
    pretrained: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        shutil.copytree(pretrained, folder)
    undisturbed = _start(whole)
    _kill_in_mid_trial(_start(killed), killed, ended=2)
    assert (killed / "params.yaml").read_bytes() == (pretrained / "params.yaml").read_bytes()
    _finish(_start(killed))
    _finish(undisturbed)
    assert _raw(whole)["tuned"]["algorithms"]["maml"]["trials"] == 5
    assert (killed / "params.yaml").read_bytes() == (whole / "params.yaml").read_bytes()
    assert _trials(killed, "'FAIL'") == 1, "the kill hit a trial"
