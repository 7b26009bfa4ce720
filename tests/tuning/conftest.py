"""A folder in which ``coldstart tune`` can run: ``tiny``, prepared and pretrained."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from coldstart import layout
from coldstart.data.prepared import Prepared
from coldstart.models.backbones import BACKBONES
from coldstart.params import Params, load_params

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny_text() -> str:
    """The committed params.yaml for ``tiny``, and little work."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw |= {"threads": 1, "tuned": {}}
    raw["data"] |= {"name": "tiny", "source": "tiny"}
    raw["prepare"] |= {"n_folds": 3, "folds": [0], "min_ratings": 15, "query_size": 5}
    raw["prepare"] |= {"validation_share": 0.2, "shots": [0, 1, 3, 5, 10]}
    raw["pretrain"] |= {"backbone": "mf"}
    raw["pretrain"]["mf"] |= {"factors": 4, "sweeps": 3, "crossfit": 3}
    raw["meta_train"]["loop"] |= {"max_steps": 24, "eval_every": 3, "batch_size": 8}
    return yaml.safe_dump(raw, sort_keys=False)


@pytest.fixture(scope="session")
def pretrained(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifacts of ``prepare`` and ``pretrain``; do not write to them."""
    folder = tmp_path_factory.mktemp("pretrained")
    (folder / "params.yaml").write_text(tiny_text())
    pretrain = load_params(folder / "params.yaml").pretrain
    prepared.save(folder / layout.PREPARED)
    for fold in prepared.folds:
        episodes = prepared.eval_episodes(fold, "validation")
        backbone = BACKBONES["mf"](prepared.history(fold), episodes, pretrain, 0)
        backbone.to_bundle().save(folder / layout.fold_folder(layout.BACKBONE, fold))
    return folder


@pytest.fixture
def project(pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    folder = tmp_path / "project"
    shutil.copytree(pretrained, folder)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("COLDSTART_HOME", raising=False)
    return folder


@pytest.fixture
def params(project: Path) -> Params:
    return load_params(project / "params.yaml")
