"""What starting the stack finds and makes, without its services."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from coldstart.stack import lifecycle
from coldstart.stack.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A stack whose supervisor is not started."""
    monkeypatch.setenv("COLDSTART_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLDSTART_PROJECT", str(tmp_path / "project"))
    monkeypatch.setattr(lifecycle, "require_free", lambda *_: None)
    monkeypatch.setattr(lifecycle, "_supervise", lambda *_: None)
    shutil.copytree(ROOT / "dags", tmp_path / "project" / "dags")
    return Settings.from_environment()


def migrations(database: Path) -> int:
    with sqlite3.connect(database) as connection:
        return int(connection.execute("select count(*) from alembic_version").fetchone()[0])


@pytest.mark.parametrize("lost", ["missing", "empty"])
def test_a_lost_database_is_made_anew(settings: Settings, lost: str) -> None:
    marker = settings.airflow_home
    marker.mkdir(parents=True)
    (marker / f"migrated-{lifecycle.version('apache-airflow')}").touch()
    if lost == "empty":
        settings.database.touch()
    assert lifecycle.start(settings)
    assert migrations(settings.database) == 1


def test_databases_and_logs_are_their_owners_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "_migrate", lambda *_: None)
    (settings.home / "mlflow").mkdir(parents=True, mode=0o755)
    lifecycle.start(settings)
    for name in ("airflow", "mlflow", "logs"):
        assert stat.S_IMODE((settings.home / name).stat().st_mode) == 0o700
