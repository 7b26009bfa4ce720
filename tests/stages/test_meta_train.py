"""The stage in a process of its own: killed, ended, resumed, refused."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from coldstart.algorithms import ALGORITHMS
from coldstart.data.prepared import Prepared
from coldstart.errors import ParamsError
from coldstart.models.backbone import Backbone
from coldstart.models.bundle import Bundle
from coldstart.models.user_prior import unfitted
from coldstart.stages.meta_train import run

PARAMS = Path(__file__).parents[2] / "params.yaml"
RUN = "import sys; from coldstart.stages.meta_train import run; run(sys.argv[1])"
STOPPING = """
import os, signal
from coldstart.training.checkpoint import Checkpoints

save = Checkpoints.save

def save_and_stop(self, number, *content):
    again = (self.folder / f"{{number:09d}}").exists()  # as an end that was asked for may find it
    save(self, number, *content)
    if (self.folder.name, number) == ("{run}", {step}) and not again:
        os.kill(os.getpid(), signal.SIGSTOP)

Checkpoints.save = save_and_stop
"""
Workspace = Callable[..., Path]


def _params(**changes: Any) -> str:
    raw = yaml.safe_load(PARAMS.read_text())
    raw["threads"] = 1
    raw["data"] |= {"name": "tiny", "source": "tiny"}
    raw["prepare"] |= {"n_folds": 3, "folds": [0], "min_ratings": 15, "query_size": 5}
    raw["prepare"] |= {"validation_share": 0.2, "shots": [0, 1, 3, 5, 10]}
    raw["meta_train"]["loop"] |= {"max_steps": 60, "eval_every": 20, "patience": 100}
    raw["meta_train"]["loop"] |= {"checkpoint_every": 10, "batch_size": 8}
    for dotted, value in changes.items():
        section: Any = raw
        *path, key = dotted.split("__")
        for part in path:
            section = section[part]
        section[key] = value
    return yaml.safe_dump(raw)


@pytest.fixture
def workspace(prepared: Prepared, tmp_path: Path) -> Workspace:
    """``workspace("a", meta_train__seeds=[0, 1])``: a folder in which the stage can run."""

    def build(name: str, **changes: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "params.yaml").write_text(_params(**changes))
        prepared.save(folder / "artifacts/prepared")
        for fold in prepared.folds:
            _backbone(prepared, fold).to_bundle().save(folder / f"artifacts/backbone/fold-{fold}")
        return folder

    return build


def _backbone(prepared: Prepared, fold: int) -> Backbone:
    generator = torch.Generator().manual_seed(fold)
    history = prepared.history(fold)
    features_CND = 0.3 * torch.randn(1, history.n_items, 4, generator=generator)
    features_CND[..., 0] = 1.0
    return Backbone(
        kind="mf",
        features_CND=features_CND,
        offset_CN=torch.zeros(1, history.n_items),
        count_CN=torch.ones(1, history.n_items),
        prior_FD=torch.zeros(history.user_features_UF.shape[1], 4),
        group_U=torch.zeros(history.n_users, dtype=torch.int64),
        side_NG=history.item_features_NG,
        exposed_CN=torch.rand(1, history.n_items, generator=generator),
        exposure_CNE=0.1 * torch.randn(1, history.n_items, 4, generator=generator),
        exposure_CFE=torch.zeros(1, history.user_features_UF.shape[1], 4),
        exposure_noise=torch.tensor(1.0),
        **unfitted(history, 4),
    )


def _start(folder: Path, algorithm: str = "maml", code: str = RUN) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COLDSTART")}
    environment |= {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, algorithm],
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return errors


def _digests(folder: Path) -> dict[str, str]:
    root = folder / "artifacts/models"
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def _start_until_checkpoint(folder: Path, run: str, step: int) -> subprocess.Popen[str]:
    """A stage that stands still, as SIGSTOP makes it, after it has saved ``step`` of ``run``."""
    process = _start(folder, code=STOPPING.format(run=run, step=step) + RUN)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), "the stage ended before it could be stopped"
    return process


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_stage_resumes_to_the_same_bytes(
    workspace: Workspace, ending: signal.Signals
) -> None:
    changes = {"meta_train__seeds": [0, 1]}
    whole, killed = workspace("whole", **changes), workspace("killed", **changes)
    _finish(_start(whole))

    process = _start_until_checkpoint(killed, "fold-0-seed-1", 20)
    process.send_signal(ending)
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=300)
    assert process.returncode == (-9 if ending == signal.SIGKILL else 143)
    assert not (killed / "artifacts/models/maml/fold-0/seed-1").exists()
    for path in sorted((killed / "artifacts/models").rglob("*.*")):
        path.unlink()  # as DVC does before it runs a stage again

    process = _start(killed, code="import logging; logging.basicConfig(level=20)\n" + RUN)
    errors = _finish(process)
    assert "maml fold 0 seed 0: resumed at step 60" in errors
    assert "maml fold 0 seed 1: resumed at step" in errors
    digests = _digests(whole)
    assert len(digests) == 2 * 4  # two seeds: tensors, manifest, choices, training curve
    assert _digests(killed) == digests
    assert not list((killed / ".coldstart/checkpoints").rglob("*.*"))


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_bundles_load_and_repeat(
    workspace: Workspace, prepared: Prepared, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {
        "prepare__folds": [0, 1],
        "meta_train__algorithms": [name],
        "meta_train__loop__max_steps": 20,
    }
    folders = [workspace("a", **changes), workspace("b", **changes)]
    for folder in folders:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLDSTART_HOME", str(folder / "home"))
        run(name)
    assert _digests(folders[0]) == _digests(folders[1])
    bundle = Bundle.load(folders[0] / f"artifacts/models/{name}/fold-1/seed-0")
    learner = ALGORITHMS[bundle.kind].from_bundle(bundle)
    episodes = prepared.eval_episodes(1, "cold")
    assert learner.score_catalogue(learner.adapt(episodes.support)).mean.isfinite().all()
    curve = (folders[0] / f"artifacts/models/{name}/fold-1/seed-0/history.csv").read_text()
    assert curve.startswith("step,training_loss,validation_loss\n0,,")


@pytest.mark.parametrize(
    ("changes", "algorithm", "message"),
    [
        ({"algorithms__maml__inner_rat": 0.1}, "maml", r"algorithms.maml: inner_rat: unknown key"),
        ({"algorithms__reptile__hidden": 0}, "maml", r"algorithms.reptile: hidden: 0 is not"),
        ({"algorithms__mamml": {}}, "maml", r"algorithms.mamml: unknown algorithm"),
        ({}, "mamml", r"meta_train.algorithms: 'mamml' is not in it"),
        ({"device": "cuda"}, "maml", r"device: 'cuda' is not allowed: no CUDA device here"),
    ],
)
def test_params_are_refused_with_the_key(
    workspace: Workspace,
    changes: dict[str, Any],
    algorithm: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "device" in changes and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    monkeypatch.chdir(workspace("a", **changes))
    with pytest.raises(ParamsError, match=message):
        run(algorithm)


def test_a_checkpoint_of_other_inputs_is_not_resumed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = workspace("first")
    process = _start_until_checkpoint(first, "fold-0-seed-0", 20)
    process.kill()
    process.communicate(timeout=300)
    (first / "params.yaml").write_text(_params(algorithms__maml__inner_rate=0.01))
    fresh = workspace("fresh", algorithms__maml__inner_rate=0.01)
    for folder in (first, fresh):
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLDSTART_HOME", str(folder / ".coldstart"))
        run("maml")
    assert _digests(first) == _digests(fresh)
