"""The stage end to end on the tiny dataset: what it writes, and that it writes the same again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from coldstart import layout
from coldstart.baselines import BASELINES
from coldstart.data.prepared import Prepared
from coldstart.errors import DataError, ParamsError
from coldstart.models.backbone import Backbone
from coldstart.models.backbones import BACKBONES
from coldstart.models.bundle import Bundle
from coldstart.params import read_yaml
from coldstart.stages.pretrain import run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepared: Prepared
) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    prepared.save(layout.PREPARED)
    raw = read_yaml(ROOT / "params.yaml")
    raw["threads"] = 1
    for name in ("mf", "vbpmf", "vbpmf_audience"):
        raw["pretrain"][name].update(factors=3, sweeps=3, crossfit=3)
    for name in ("two_tower", "deepfm"):
        raw["pretrain"][name].update(epochs=1, factors=3, hidden=4)
    _write(raw)
    return raw


def _write(raw: dict[str, Any]) -> None:
    layout.PARAMS.write_text(yaml.safe_dump(raw))


def _digests() -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for root in (layout.BACKBONE, layout.BASELINES)
        for path in sorted(root.rglob("*.*"))
    }


@pytest.mark.usefixtures("workspace")
def test_it_writes_every_bundle_and_the_same_bytes_again() -> None:
    run()
    first = _digests()
    backbone = Backbone.from_bundle(Bundle.load(layout.fold_folder(layout.BACKBONE, 1)))
    assert backbone.features_CND.shape[0] == 4
    for name in BASELINES:
        for fold in (0, 1):
            assert Bundle.load(layout.fold_folder(layout.BASELINES / name, fold)).kind == name
    assert len(first) == 3 * 2 * (1 + len(BASELINES))
    run()
    assert _digests() == first


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_the_backbone_is_the_one_asked_for(workspace: dict[str, Any], name: str) -> None:
    workspace["pretrain"]["backbone"] = name
    workspace["baselines"] = {"ridge": workspace["baselines"]["ridge"]}
    _write(workspace)
    run()
    assert Bundle.load(layout.fold_folder(layout.BACKBONE, 0)).kind == name


def test_a_wrong_section_stops_it_before_any_work(workspace: dict[str, Any]) -> None:
    workspace["baselines"]["ridge"]["typo"] = 1.0
    _write(workspace)
    with pytest.raises(ParamsError, match=r"baselines\.ridge: typo: unknown key"):
        run()
    assert not layout.BASELINES.exists()


@pytest.mark.usefixtures("workspace")
def test_a_fold_without_validation_users_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(self: Prepared, fold: int, role: str) -> Any:
        return episodes(self, fold, role).rows(slice(0, 0))  # type: ignore[arg-type]

    episodes = Prepared.eval_episodes
    monkeypatch.setattr(Prepared, "eval_episodes", nobody)
    with pytest.raises(DataError, match=r"fold 0: .* 0 validation users"):
        run()
