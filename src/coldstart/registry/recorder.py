"""The process beside a stage that writes its nested run: ``python -m coldstart.registry.recorder``.

Reads two JSON lines: what begins, and how it ended. The end of the input without the second line
means that the stage was killed. Says nothing unless something went wrong.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coldstart import layout
from coldstart.params import read_yaml
from coldstart.registry import identity, runs, store

_MEASURED = ["seconds", "peak_rss_mb"]


def main() -> None:
    """Record one stage."""
    os.nice(5)  # the stage's own work goes first
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    try:
        _record(json.loads(sys.stdin.readline()))
    except Exception as error:
        _complain(" ".join(f"{type(error).__name__}: {error}".split())[:500])


def _complain(text: str) -> None:
    """Tell the stage or, if it did not wait, the log."""
    try:
        print(text, flush=True)
    except OSError:
        store.home().mkdir(parents=True, exist_ok=True)
        with (store.home() / "tracking.log").open("a") as log:
            print(datetime.now(UTC).isoformat(timespec="seconds"), text, file=log)


def _record(begin: dict[str, Any]) -> None:
    stage, algorithm = begin["stage"], begin["algorithm"]

    params = read_yaml(layout.PARAMS)
    key = identity.run_key()
    client = store.client()
    experiment_id, parent_id = runs.parent(client, identity.experiment_name(params), key)
    name = stage if algorithm is None else f"{stage}@{algorithm}"
    run_id = runs.child(client, experiment_id, parent_id, key, name)
    runs.start(client, run_id)
    client.update_run(parent_id, status="RUNNING")
    runs.log(client, run_id, params=identity.stage_params(params, stage, algorithm))

    line = sys.stdin.readline()
    outcome: dict[str, Any] = (
        json.loads(line) if line else {"status": "KILLED", "reason": "the process was killed"}
    )
    metrics: dict[str, float] = {k: float(outcome[k]) for k in _MEASURED if k in outcome}
    points = _curves(layout.MODELS / algorithm) if algorithm is not None else []
    runs.log(client, run_id, metrics=metrics, points=points)
    reason = outcome.get("reason")
    runs.end(client, run_id, outcome["status"], reason)
    if outcome["status"] != "FINISHED":
        runs.end(client, parent_id, outcome["status"], f"{name}: {reason}")
    elif stage == "report":
        runs.end(client, parent_id, "FINISHED")


def _curves(folder: Path) -> list[tuple[str, float, int]]:
    """Points of the training curves of each fold and seed, named ``fold-0/seed-0/column``."""
    points = []
    for path in sorted(folder.rglob("history.csv")):
        prefix = path.parent.relative_to(folder).as_posix()
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                step = int(float(row.pop("step")))
                for column, value in row.items():
                    with suppress(ValueError):
                        points.append((f"{prefix}/{column}", float(value), step))
    return points


if __name__ == "__main__":
    main()
    os._exit(0)  # everything is written; taking mlflow's modules down costs a second
