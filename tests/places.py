"""A pipeline of three stages whose `coldstart` is a few lines, and hosts that share its remote."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from coldstart.dvc_command import dvc_batch
from coldstart.workspace import Request

PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"
PIPELINE = {
    "stages": {
        "prepare": {
            "cmd": "coldstart prepare",
            "deps": ["data/${data.name}", "src/coldstart"],
            "params": ["seed"],
            "outs": ["artifacts/prepared"],
        },
        "meta_train": {
            "foreach": "${meta_train.algorithms}",
            "do": {
                "cmd": "coldstart meta-train ${item}",
                "deps": ["artifacts/prepared"],
                "outs": ["artifacts/models/${item}"],
            },
        },
        "evaluate": {
            "cmd": "coldstart evaluate",
            "deps": ["artifacts/models"],
            "outs": ["artifacts/metrics.json"],
        },
    }
}
PROGRAM = """
import json, os, pathlib, sys
name, *rest = sys.argv[1:]
art = pathlib.Path("artifacts")
def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
if os.environ.get("FAIL") == name:
    pathlib.Path(os.environ["COLDSTART_ERROR_FILE"]).write_text(
        json.dumps({"code": 3, "error": "tiny.inter: row 7: rating 9 is out of scale"}))
    sys.exit(3)
if os.environ.get("DIE") == name:
    os.kill(os.getpid(), 9)
if name == "prepare":
    write(art / "prepared" / "x", pathlib.Path("data/ml-100k/x").read_text())
elif name == "meta-train":
    write(art / "models" / rest[0] / "x", rest[0] + (art / "prepared" / "x").read_text())
elif name == "evaluate":
    write(art / "metrics.json", json.dumps([p.as_posix() for p in sorted(art.rglob("x"))]))
elif name == "gate":
    print("thinking")
    seen = sorted(p.as_posix() for p in art.rglob("x"))
    print(json.dumps({"seen": seen, **json.load(open("d.json"))}))
"""


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline of three stages whose `coldstart` is a few lines, beside its remote."""
    root = tmp_path_factory.mktemp("pipeline") / "project"
    (root / "src" / "coldstart").mkdir(parents=True)
    (root / "expectations").mkdir()
    (root / "expectations" / "x").write_text("x")
    (root / "src" / "coldstart" / "__init__.py").write_text("")
    (root / "src" / "coldstart" / "__main__.py").write_text(PROGRAM)
    text = json.dumps(PIPELINE).replace("coldstart ", f"{sys.executable} -m coldstart ")
    (root / "dvc.yaml").write_text(yaml.safe_dump(json.loads(text), sort_keys=False))
    shutil.copyfile(PARAMS, root / "params.yaml")
    (root / ".dvcignore").write_text("__pycache__/\n*.pyc\n")
    (root / "data" / "ml-100k").mkdir(parents=True)
    (root / "data" / "ml-100k" / "x").write_text("ratings")
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text(
        "[core]\n no_scm = true\n remote = r\n['remote \"r\"']\n url = ../../remote\n"
    )
    subprocess.run(dvc_batch([["add", "-q", "data"], ["push", "-q"]]), cwd=root, check=True)
    shutil.rmtree(root / ".dvc")
    shutil.rmtree(root / "data")
    return root.parent


@pytest.fixture
def project(pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the pipeline of one's own, and of its remote."""
    shutil.copytree(pipeline, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("COLDSTART_DVC_REMOTE", str(tmp_path / "remote"))
    return tmp_path / "project"


def place(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """From here on, work at a host of its own: other home, cache, temporary folder."""
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("COLDSTART_HOME", str(folder / "home"))
    monkeypatch.setenv("TMPDIR", str(folder / "tmp"))


def request(project: Path, lock: dict[str, Any] | None = None, **more: Any) -> Request:
    """A request of a run that begins now, with the data as the checkout pins them."""
    params = yaml.safe_load(PARAMS.read_text())
    params["meta_train"]["algorithms"] = ["maml", "reptile"]
    return Request(yaml.safe_dump(params), (project / "data.dvc").read_text(), lock or {}, **more)
