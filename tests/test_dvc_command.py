"""dvc in a checkout with git and in one without, which is what an archive unpacks to."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from coldstart.dvc_command import dvc, has_git
from coldstart.errors import ServiceError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the project tracks of dvc, without git."""
    (tmp_path / ".dvc").mkdir()
    shutil.copyfile(ROOT / ".dvc" / "config", tmp_path / ".dvc" / "config")
    (tmp_path / "x").write_text("x")
    return tmp_path


def test_dvc_works_without_git(checkout: Path) -> None:
    assert not has_git(checkout)
    dvc("add", "x", cwd=checkout)
    assert (checkout / "x.dvc").exists()
    subprocess.run(["dvc", "status"], cwd=checkout, check=True)  # by hand, from now on


def test_with_git_nothing_is_configured(checkout: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=checkout, check=True)
    dvc("add", "x", cwd=checkout)
    assert not (checkout / ".dvc" / "config.local").exists()
    (checkout / "deeper").mkdir()
    assert has_git(checkout / "deeper")


def test_what_dvc_says_is_told(checkout: Path) -> None:
    with pytest.raises(ServiceError, match=r"dvc add y failed in .*y"):
        dvc("add", "y", cwd=checkout)
