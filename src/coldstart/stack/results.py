"""What a finished run leaves in the checkout and under ``COLDSTART_HOME/runs/``."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from coldstart import layout
from coldstart.dvc_command import dvc
from coldstart.stack.settings import Settings
from coldstart.workspace import Lock, write_lock


def keep(settings: Settings, run_id: str, params: str, lock: Lock) -> Path:
    """Keep the run's params and lock, with which anyone can reproduce it; returns the folder."""
    folder = settings.home / "runs" / run_id.replace(":", "-")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(params, encoding="utf-8")
    write_lock(folder / "dvc.lock", lock)
    return folder


def check_out(settings: Settings, params: str, lock: Lock) -> bool:
    """Put the run's results into the checkout, unless its ``params.yaml`` says something else.

    Outputs of other params would make `dvc status` report changes that nobody made.
    """
    here = (settings.project / layout.PARAMS).read_text(encoding="utf-8")
    if yaml.safe_load(here) != yaml.safe_load(params):
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
