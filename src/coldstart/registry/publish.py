"""Put the results of a workspace into its parent run. Publishing again changes nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from coldstart import environment, layout
from coldstart.data.prepared import Prepared
from coldstart.evaluation.leaderboard import TABLE, read_table
from coldstart.evaluation.metrics import ALL_SHOTS
from coldstart.params import load_params
from coldstart.registry import identity, runs, store
from coldstart.registry.computed import (
    LOCK,
    LOCK_FILE,
    RESTORED,
    computed_by,
    entry_digest,
    own_runs,
    read_lock,
    stage_seconds,
    training_seconds,
)
from coldstart.registry.cost import costs
from coldstart.registry.stamp import stamped

PUBLISHED = "coldstart.published"


def publish() -> dict[str, str]:
    """Log params, metrics per K, plots, dataset, revision, lock and the stamped report.

    Returns:
        ``run_id``, ``url`` of the parent run and ``report``, the path of the stamped report.

    Raises:
        ArtefactError: the workspace has no results.
    """
    lock = read_lock()
    raw = yaml.safe_load(layout.PARAMS.read_text())
    key = identity.run_key()
    client = store.client()
    experiment_id, run_id = runs.parent(client, identity.experiment_name(raw), key)
    url = run_url(experiment_id, run_id)
    report = environment.home() / "site" / "reports" / key / layout.REPORT.name
    told = {"run_id": run_id, "url": url, "report": str(report)}
    run = client.get_run(run_id)
    digest = entry_digest(lock)
    if run.data.tags.get(PUBLISHED) == digest and report.exists():
        return told
    _stages(client, experiment_id, run_id, key, lock)
    seconds = stage_seconds(client, experiment_id, key, lock)
    prepared = Prepared.load()
    revision = git_revision()
    methods = costs(prepared, load_params(), training_seconds(seconds))
    facts = {
        "run": key,
        "MLflow run": url,
        "code": revision or identity.code_digest(),
        "data": str(prepared.summary["digest"]),
        "dvc.lock": digest,
        "seconds, all stages": f"{sum(seconds.values()):.1f}",
    }
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(
        stamped(layout.REPORT.read_text(encoding="utf-8"), facts, methods), encoding="utf-8"
    )
    (report.parent / layout.LEADERBOARD.name).write_bytes(layout.LEADERBOARD.read_bytes())
    raw.pop("effort", None)
    metrics = {name: value for cost in methods for name, value in cost.metrics().items()}
    tags = {"mlflow.source.git.commit": revision} if revision else {}
    runs.log(
        client,
        run_id,
        params=identity.flatten(raw),
        metrics=metrics,
        points=_leaderboard_points(),
        tags=tags | {"coldstart.code": identity.code_digest()},
    )
    _log_dataset(client, run_id, prepared.summary)
    _log_files(client, run_id, report)
    runs.end(client, run_id, "FINISHED", tags={PUBLISHED: digest})
    return told


def run_url(experiment_id: str, run_id: str) -> str:
    """Address of a run in the MLflow UI; without a server, the database and the run's id."""
    uri = store.tracking_uri()
    if uri.startswith("http"):
        return f"{uri.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"
    return f"{uri}#{run_id}"


def git_revision() -> str:
    """Commit of the project, ``-dirty`` if it has changes; empty without git."""
    given = environment.REVISION.text()
    if given:
        return given
    project = environment.project()
    command = [
        "git",
        "-C",
        str(project),
        "describe",
        "--always",
        "--abbrev=40",
        "--dirty",
        "--exclude=*",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _stages(
    client: Any, experiment_id: str, parent_id: str, key: str, lock: Mapping[str, Any]
) -> None:
    """Tie every stage's nested run to the entry of ``dvc.lock`` that it computed.

    A stage that the run cache restored left no nested run here: it gets one that names the run
    which computed it.
    """
    own = own_runs(client, experiment_id, key)
    for stage, entry in lock.items():
        if stage in own:
            client.set_tag(own[stage][0].info.run_id, LOCK, entry_digest(entry))
            continue
        before = computed_by(client, experiment_id, stage, entry)
        child = runs.child(client, experiment_id, parent_id, key, stage)
        tags = {RESTORED: "true"}
        if before:
            tags["coldstart.computed_by"] = before[0].info.run_id
        runs.end(client, child, "FINISHED", tags=tags)


def _leaderboard_points() -> list[tuple[str, float, int]]:
    """``bayes_head/rmse`` with step K, and ``bayes_head/rmse/all_shots``.

    MLflow allows no ``@`` in a name.
    """
    points = []
    for row in read_table(TABLE).dropna(subset=["mean"]).itertuples():
        name, k = f"{row.method}/{str(row.metric).replace('@', '_at_')}", int(str(row.k))
        place = (f"{name}/all_shots", 0) if k == ALL_SHOTS else (name, k)
        points.append((place[0], float(str(row.mean)), place[1]))
    return points


def _log_dataset(client: Any, run_id: str, summary: Mapping[str, Any]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    counts = {name: summary[name] for name in ("n_users", "n_items", "n_ratings")}
    dataset = Dataset(
        name=str(summary["dataset"]),
        digest=str(summary["digest"])[:36],
        source_type="local",
        source=json.dumps({"uri": f"data/{summary['dataset']}"}),
        profile=json.dumps(counts),
    )
    client.log_inputs(
        run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]
    )


def _log_files(client: Any, run_id: str, report: Path) -> None:
    client.log_artifact(run_id, str(report))
    for path in (layout.LEADERBOARD, LOCK_FILE, layout.PARAMS, layout.VALIDATION, layout.METRICS):
        if path.exists():
            client.log_artifact(run_id, str(path))
    if layout.PLOTS.is_dir():
        client.log_artifacts(run_id, str(layout.PLOTS), "plots")
