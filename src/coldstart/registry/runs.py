"""Runs of MLflow that are found again: one parent per run key, one child per stage.

Tags identify a run, so that a retry continues it. Where several processes create the same run at
once, the oldest stays (ties by id) and the others are deleted; on one host a lock avoids even that.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from coldstart.registry import store

KEY = "coldstart.run_key"
STAGE = "coldstart.stage"
ATTEMPTS = "coldstart.attempts"
REASON = "coldstart.reason"
_PARENT = "parent"


def experiment(client: Any, name: str) -> str:
    """Id of an experiment, created if it is missing."""
    found = client.get_experiment_by_name(name)
    if found is None:
        root = str(store.home() / "artifacts" / name) if store.is_local() else None
        try:
            return str(client.create_experiment(name, artifact_location=root))
        except Exception:  # somebody else may have created it meanwhile
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def find(client: Any, experiment_id: str, tags: Mapping[str, str]) -> list[Any]:
    """Runs with these tags, oldest first."""
    quoted = {key: value.replace("'", "") for key, value in tags.items()}
    runs = client.search_runs(
        [experiment_id],
        filter_string=" and ".join(f"tags.`{k}` = '{v}'" for k, v in sorted(quoted.items())),
        max_results=1000,
    )
    return sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))


def find_or_create(client: Any, experiment_id: str, tags: Mapping[str, str], name: str) -> str:
    """Id of the one run with these tags."""
    identity = {k: v.replace("'", "") for k, v in tags.items() if k != "mlflow.parentRunId"}
    found = find(client, experiment_id, identity)
    if not found:
        created = client.create_run(experiment_id, tags={**tags, **identity}, run_name=name)
        found = find(client, experiment_id, identity)
        if found[0].info.run_id != created.info.run_id:
            client.delete_run(created.info.run_id)
    return str(found[0].info.run_id)


def parent(client: Any, experiment_name: str, key: str) -> tuple[str, str]:
    """Experiment id and run id of the parent run of ``key``."""
    with store.host_lock("runs"):
        experiment_id = experiment(client, experiment_name)
        tags = {KEY: key, STAGE: _PARENT, "mlflow.source.name": "coldstart"}
        identity = {KEY: key, STAGE: _PARENT}
        found = find(client, experiment_id, identity)
        if found:
            return experiment_id, str(found[0].info.run_id)
        return experiment_id, find_or_create(client, experiment_id, tags, key)


def child(client: Any, experiment_id: str, parent_id: str, key: str, stage: str) -> str:
    """Id of the nested run of a stage (``meta_train@maml``) of the run ``key``."""
    with store.host_lock("runs"):
        tags = {KEY: key, STAGE: stage, "mlflow.parentRunId": parent_id}
        return find_or_create(client, experiment_id, tags, stage)


def start(client: Any, run_id: str) -> None:
    """Mark as running, again if need be, and count the attempt."""
    attempts = int(client.get_run(run_id).data.tags.get(ATTEMPTS, "0")) + 1
    client.update_run(run_id, status="RUNNING")
    client.set_tag(run_id, ATTEMPTS, str(attempts))


def end(
    client: Any,
    run_id: str,
    status: str,
    reason: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Mark as FINISHED, FAILED or KILLED; a reason is kept as the run's note too."""
    from mlflow.entities import RunTag

    text = (reason or "")[:5000]
    note = f"```\n{text}\n```" if text else ""
    labels = {REASON: text, "mlflow.note.content": note, **(tags or {})}
    client.log_batch(run_id, tags=[RunTag(k, v) for k, v in labels.items()])
    client.set_terminated(run_id, status=status)


def log(
    client: Any,
    run_id: str,
    *,
    params: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
    points: list[tuple[str, float, int]] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log in batches; ``points`` are (metric, value, step). A param's first value stays."""
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    known = client.get_run(run_id).data.params
    new = [Param(k, v[:6000]) for k, v in (params or {}).items() if k not in known]
    series = [Metric(k, float(v), now, 0) for k, v in (metrics or {}).items()]
    series += [Metric(k, float(v), now, step) for k, v, step in points or []]
    labels = [RunTag(k, v) for k, v in (tags or {}).items()]
    for first in range(0, max(len(new), len(labels)), 100):
        part = slice(first, first + 100)
        client.log_batch(run_id, params=new[part], tags=labels[part])
    for first in range(0, len(series), 1000):
        client.log_batch(run_id, metrics=series[first : first + 1000])
