"""What a finished run leaves in the checkout and under ``COLDSTART_HOME/runs/``."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from coldstart import layout
from coldstart.dvc_command import dvc
from coldstart.dvc_files import Lock, write_lock
from coldstart.stack.settings import Settings


@dataclass(frozen=True)
class Run:
    """What a run began with: the texts of ``params.yaml`` and ``data.dvc``."""

    params: str
    data: str


def keep(settings: Settings, run_id: str, run: Run, lock: Lock) -> Path:
    """Keep the run's files, with which anyone can reproduce it; returns the folder."""
    folder = settings.home / "runs" / run_id.replace(":", "-")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / layout.PARAMS).write_text(run.params, encoding="utf-8")
    (folder / layout.DATA_PIN).write_text(run.data, encoding="utf-8")
    write_lock(folder / "dvc.lock", lock)
    return folder


def check_out(settings: Settings, run: Run, lock: Lock) -> bool:
    """Put the run's results into the checkout, unless its params or data are others.

    Outputs of others would make `dvc status` report changes that nobody made.
    """
    for name, text in ((layout.PARAMS, run.params), (layout.DATA_PIN, run.data)):
        here = (settings.project / name).read_text(encoding="utf-8")
        if yaml.safe_load(here) != yaml.safe_load(text):
            return False
    old = settings.project / "dvc.lock"
    if not old.exists() or yaml.safe_load(old.read_text(encoding="utf-8"))["stages"] != lock:
        write_lock(old, lock)
    stale = settings.project / layout.MODELS
    if stale.is_dir():  # of algorithms that are no longer chosen
        wanted = {Path(out["path"]).name for stage in lock.values() for out in stage["outs"]}
        for folder in stale.iterdir():
            if folder.name not in wanted:
                shutil.rmtree(folder)
    dvc("checkout", "--force", "--quiet", cwd=settings.project)
    return True
