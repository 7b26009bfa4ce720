"""The real stages, run in turns by two places that share nothing but the remote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

STAGES = (
    "validate",
    "prepare",
    "pretrain",
    "meta_train@maml",
    "meta_train@bayes_head",
    "combine",
    "evaluate",
    "report",
    "ship",
)


def run(checkout: Path, *command: str, stdin: str = "", **variables: str) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("COLDSTART_", "MLFLOW_"))}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=checkout,
        env={
            **kept,
            "PYTHONPATH": str(checkout / "src"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}",
            "COLDSTART_TRACKING": "off",
            **variables,
        },
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_stages_run_in_turns_at_two_places_end_as_dvc_repro_does(
    checkout_at: Callable[[Path], Path], tmp_path: Path
) -> None:
    places = [checkout_at(tmp_path / name) for name in ("a", "b")]
    run(places[0], "coldstart", "fetch")
    run(places[0], "dvc", "push", "data.dvc")
    remote = str(tmp_path / "remote")
    shutil.move(places[0] / ".coldstart" / "dvc" / "remote", remote)
    data = (places[0] / "data.dvc").read_text()  # place b never had the data, nor their pin
    lock: dict[str, object] = {}
    for number, stage in enumerate(STAGES):
        here = places[number % 2]
        temporary = here.with_suffix(".tmp")
        temporary.mkdir(exist_ok=True)
        text = (here / "params.yaml").read_text()
        said = run(
            here,
            "coldstart",
            "work",
            stage,
            stdin=json.dumps({"params": text, "data": data, "lock": lock}),
            COLDSTART_DVC_REMOTE=remote,
            TMPDIR=str(temporary),
        )
        baton = json.loads(said.splitlines()[-1])
        assert not baton["restored"]
        lock |= baton["lock"]

    alone = checkout_at(tmp_path / "alone")
    run(alone, "coldstart", "fetch")
    run(alone, "dvc", "repro")
    assert yaml.safe_load((alone / "dvc.lock").read_text())["stages"] == lock
