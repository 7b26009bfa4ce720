"""From a person's files to prepared tables by two commands; params.yaml keeps its comments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from coldstart.cli import app
from coldstart.data.prepared import Prepared
from coldstart.data.sources import read_source
from coldstart.errors import DataError, ParamsError

ROOT = Path(__file__).parents[2]
RUN = CliRunner()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with DVC, this repository's params and expectations, and no data."""
    (tmp_path / "expectations").symlink_to(ROOT / "expectations")
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    command = [sys.executable, "-m", "dvc", "init", "--no-scm", "-q"]
    subprocess.run(command, cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLDSTART_HOME", str(tmp_path / ".coldstart"))
    return tmp_path


def _as_csv(tiny_source: Path, folder: Path) -> list[str]:
    """The dataset ``tiny`` as somebody else would write it."""
    source = read_source(tiny_source, "tiny")
    assert source.items is not None
    assert source.users is not None
    source.ratings.assign(timestamp=source.ratings["timestamp"] * 1000).astype(
        {"timestamp": "int64"}
    ).to_csv(folder / "my ratings.csv", sep=";", decimal=",", index=False)
    source.items.to_csv(folder / "films.csv", index=False)
    source.users.to_csv(folder / "people.csv.gz", index=False)
    return [str(folder / name) for name in ("my ratings.csv", "films.csv", "people.csv.gz")]


def _run(*arguments: str) -> str:
    result = RUN.invoke(app, arguments, catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_import_then_prepare(project: Path, tiny_source: Path, tmp_path: Path) -> None:
    files = _as_csv(tiny_source, tmp_path)
    shown = _run("import", *files)
    assert "user is 'user_id', by its name" in shown
    assert 'data.name: "my-ratings"' in shown
    assert "data.dvc has changed: commit it" in shown
    before = (project / "params.yaml").read_text()
    assert before == (ROOT / "params.yaml").read_text()

    again = _run("import", *files, "--write")
    assert "as it was" in again
    assert "data.dvc has changed" not in again
    params = yaml.safe_load((project / "params.yaml").read_text())
    assert params["data"]["name"] == "my-ratings"
    comments = [line.split("#", 1)[1] for line in before.splitlines() if "#" in line]
    after = (project / "params.yaml").read_text()
    assert [line.split("#", 1)[1] for line in after.splitlines() if "#" in line] == comments

    assert "already here, as data.dvc pins it" in _run("fetch")
    from coldstart.stages import prepare, validate

    validate.run()
    prepare.run()
    prepared = Prepared.load(project / "artifacts/prepared")
    original = read_source(tiny_source, "tiny").ratings
    assert prepared.summary["n_ratings"] == len(original)
    assert any(label.startswith("genre=") for label in prepared.summary["item_features"])
    assert any(label.startswith("gender=") for label in prepared.summary["user_features"])


def test_data_that_is_gone_says_how_it_was_made(project: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user,item,rating\nu,i,3\nv,i,4\n")
    _run("import", "a.csv", "--write")
    (project / "data/a/a.inter").unlink()
    (project / "data/a").rmdir()
    with pytest.raises(DataError, match=r"data/a: is made by `coldstart import FILE...`"):
        _run("fetch")


def test_params_are_set_in_place_after_a_check(project: Path) -> None:
    before = (project / "params.yaml").read_text()
    said = _run("params", "--set", "data.name=dbook", "--set", "prepare.folds=[0, 1]", "--write")
    assert "set data.name, prepare.folds" in said
    after = (project / "params.yaml").read_text()
    assert after == before.replace("name: ml-100k", "name: dbook").replace(
        "folds: [0]\n  validation", "folds: [0, 1]\n  validation"
    )
    for wrong, names in (
        ("data.name=../x", r"data\.name"),
        ("data.nam=x", r"data\.nam"),
        ("algorithms.maml.typo=1", r"algorithms\.maml\.typo"),
        ("algorithms.maml.hidden=-1", r"algorithms\.maml"),
    ):
        with pytest.raises(ParamsError, match=names):
            _run("params", "--set", wrong, "--write")
    with pytest.raises(ParamsError, match="--write: sets the keys of --set"):
        _run("params", "--write")
    assert (project / "params.yaml").read_text() == after
