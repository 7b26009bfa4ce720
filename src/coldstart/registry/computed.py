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
    seconds: dict[str, float] = {}
    for stage, entry in lock.items():
        identities = {runs.KEY: key}, {LOCK: entry_digest(entry)}
        for identity in identities:
            for run in runs.find(client, experiment_id, {runs.STAGE: stage, **identity}):
                if run.info.status == "FINISHED" and _SECONDS in run.data.metrics:
                    seconds.setdefault(stage, run.data.metrics[_SECONDS])
    return seconds


def training_seconds(seconds: Mapping[str, float]) -> dict[str, float]:
    """Seconds of the meta-training of each algorithm, all folds and seeds."""
    prefix = "meta_train@"
    return {k.removeprefix(prefix): v for k, v in seconds.items() if k.startswith(prefix)}
