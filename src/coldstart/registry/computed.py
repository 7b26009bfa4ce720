"""How long the stages of this ``dvc.lock`` took when they were computed, as MLflow recorded it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from coldstart.errors import ArtefactError
from coldstart.registry import runs

LOCK = "coldstart.lock"
"""Tag of a stage's run: digest of the entry of ``dvc.lock`` that it computed; set by publishing."""
RESTORED = "coldstart.restored"
"""Tag of the nested run of a stage that the run cache restored."""
LOCK_FILE = Path("dvc.lock")
_SECONDS = "seconds"


def read_lock() -> dict[str, Any]:
    """The entries of ``dvc.lock`` by stage.

    Raises:
        ArtefactError: there is none.
    """
    try:
        return dict(yaml.safe_load(LOCK_FILE.read_text(encoding="utf-8"))["stages"])
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ArtefactError(f"{LOCK_FILE}: {error}; run `dvc repro` first") from error


def entry_digest(entry: Any) -> str:
    """Digest of a ``dvc.lock`` or of one of its entries."""
    text = json.dumps(entry, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def stage_seconds(
    client: Any, experiment_id: str, key: str, lock: Mapping[str, Any]
) -> dict[str, float]:
    """Seconds by stage, of the run ``key`` or whichever computed the same; only what is known."""
    own = own_runs(client, experiment_id, key)
    seconds: dict[str, float] = {}
    for stage, entry in lock.items():
        for run in own.get(stage) or computed_by(client, experiment_id, stage, entry):
            if _SECONDS in run.data.metrics:
                seconds.setdefault(stage, run.data.metrics[_SECONDS])
    return seconds


def own_runs(client: Any, experiment_id: str, key: str) -> dict[str, list[Any]]:
    """The finished nested runs of the run ``key`` that computed a stage, by stage."""
    found: dict[str, list[Any]] = {}
    for run in runs.find(client, experiment_id, {runs.KEY: key}):
        if run.info.status == "FINISHED" and RESTORED not in run.data.tags:
            found.setdefault(run.data.tags[runs.STAGE], []).append(run)
    return found


def computed_by(client: Any, experiment_id: str, stage: str, entry: Any) -> list[Any]:
    """The finished runs, of whatever key, that computed this entry of ``dvc.lock``."""
    found = runs.find(client, experiment_id, {runs.STAGE: stage, LOCK: entry_digest(entry)})
    return [run for run in found if run.info.status == "FINISHED"]


def training_seconds(seconds: Mapping[str, float]) -> dict[str, float]:
    """Seconds of the meta-training of each algorithm, all folds and seeds."""
    prefix = "meta_train@"
    return {k.removeprefix(prefix): v for k, v in seconds.items() if k.startswith(prefix)}
