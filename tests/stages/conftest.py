"""A project folder that a stage can run in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from coldstart.data.sources import read_source
from coldstart.intake.profile import profile_of
from coldstart.params import DataParams

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
