"""Project folders that a stage can run in: one with data, one with fitted methods."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from coldstart import layout
from coldstart.algorithms import ALGORITHMS
from coldstart.data.choices import Choices
from coldstart.data.prepared import Prepared
from coldstart.data.sources import read_source
from coldstart.intake.profile import profile_of
from coldstart.models.backbone import Backbone
from coldstart.models.bundle import Bundle
from coldstart.models.heads import HEADS
from coldstart.params import DataParams, read_yaml
from coldstart.stages import combine, pretrain

ROOT = Path(__file__).parents[2]


def tiny_params() -> dict[str, Any]:
    """The committed params.yaml, for the dataset ``tiny``."""
    raw: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["data"] |= {"name": "tiny", "source": "tiny"}
    raw["validate"] |= dict.fromkeys(("max_unknown_items", "max_unknown_users"), 0.0)
    raw["validate"]["max_unknown_entities"] = 0.0
    raw["prepare"] |= {"min_ratings": 15, "query_size": 5, "shots": [0, 1, 3, 5, 10]}
    return raw


@pytest.fixture
def project(
    tiny_source: Path, data_params: DataParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The working directory: ``tiny`` as data, its profile as the accepted one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLDSTART_HOME", str(tmp_path / "home"))
    shutil.copytree(tiny_source, tmp_path / "data" / "tiny")
    shutil.copytree(ROOT / "expectations", tmp_path / "expectations")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tiny_params()))
    profile = profile_of(read_source(tiny_source, "tiny"), data_params)
    (tmp_path / "expectations" / "accepted" / "tiny.json").write_text(json.dumps(profile))
    return tmp_path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, prepared: Prepared) -> Path:
    """A project with baselines, an untrained bayes_head and what is made of it; two seeds."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepared.save(layout.PREPARED)
        raw = read_yaml(ROOT / "params.yaml")
        raw["threads"] = 1
        raw["data"]["name"] = "tiny"
        raw["prepare"].update(n_folds=3, folds=[0, 1], min_ratings=15, query_size=5)
        raw["prepare"]["shots"] = [0, 1, 3, 5, 10]
        raw["pretrain"]["mf"].update(factors=3, sweeps=3, crossfit=3)
        raw["meta_train"].update(algorithms=["bayes_head"], seeds=[0, 1])
        raw["combine"] = {name: raw["combine"][name] for name in ("blend", "list", "student")}
        raw["combine"]["list"]["factors"] = [4, 6]
        raw["combine"]["student"].update(factors=4, steps=5)
        raw["meta_train"]["loop"]["batch_size"] = 8  # as many users in a batch of lessons
        raw["evaluate"].update(resamples=200, min_segment=5)
        layout.PARAMS.write_text(yaml.safe_dump(raw))
        pretrain.run()
        kind = ALGORITHMS["bayes_head"]
        section = kind.Params.model_validate(raw["algorithms"]["bayes_head"])
        for fold in (0, 1):
            bundle = Bundle.load(layout.fold_folder(layout.BACKBONE, fold))
            for seed in (0, 1):
                method = kind.create(Backbone.from_bundle(bundle), section, HEADS["rating"], seed)
                place = layout.seed_folder(layout.MODELS / "bayes_head", fold, seed)
                method.to_bundle().save(place)
                Choices(made={"steps": 0}).save(place)
        combine.run()
    return folder
