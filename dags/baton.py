"""Operators that hand the baton on: each runs one stage or command in a process of its own.

A stage never runs in Airflow's forked task process, where CUDA and worker processes break. What it
prints is the task's log; why it failed is the last thing in the log and the note of the run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from coldstart import environment
from coldstart.errors import NEVER_RETRY

REPORTS = environment.REPORTS_URL.text()


class WorkerLost(AirflowException):  # type: ignore[misc]
    """A stage ended without a reason of its own; another try may do."""


class StageRefused(AirflowFailException):  # type: ignore[misc]
    """A stage said what is wrong; it would say the same again."""


class Coldstart(BaseOperator):  # type: ignore[misc]
    """Run ``coldstart`` with a request on standard input; returns the JSON of its last line."""

    def command(self, context: Mapping[str, Any]) -> tuple[list[str], dict[str, Any] | None]:
        """Arguments and request."""
        raise NotImplementedError

    def execute(self, context: Any) -> Any:
        """Run it; raises StageRefused or WorkerLost."""
        arguments, request = self.command(context)
        code, lines, reason = self._process(arguments, request)
        if code == 0:
            return json.loads(lines[-1])
        last = code in NEVER_RETRY or context["ti"].try_number > self.retries
        reason = reason or f"ended with {code}"
        text = f"{self.task_id}: {reason}"
        if last:
            note(context["run_id"], f"**{text}**")
        raise StageRefused(text) if code in NEVER_RETRY else WorkerLost(text)

    def on_kill(self) -> None:
        """Pass the end on, so that training writes its checkpoint."""
        if process := getattr(self, "_running", None):
            process.terminate()

    def _process(
        self, arguments: Sequence[str], request: Mapping[str, Any] | None
    ) -> tuple[int, list[str], str]:
        with tempfile.TemporaryDirectory() as folder:
            error = Path(folder) / "error.json"
            answer = Path(folder) / "answer"
            with answer.open("w") as out:
                process = subprocess.Popen(
                    [sys.executable, "-m", "coldstart", *arguments],
                    env={**os.environ, environment.ERROR_FILE.name: str(error)},
                    stdin=subprocess.PIPE,
                    stdout=out,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            self._running = process
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.write(json.dumps(request))
            process.stdin.close()
            for line in process.stderr:
                self.log.info(line.rstrip())
            code = process.wait()
            reason = json.loads(error.read_text())["error"] if error.exists() else ""
            return code, answer.read_text().splitlines(), reason


class Stage(Coldstart):
    """One stage of ``dvc.yaml``; ``upstream`` are the batons of the stages that it reads.

    ``run`` holds the texts of ``params.yaml`` and ``data.dvc`` with which the run began.
    """

    template_fields: Sequence[str] = ("stage", "run", "upstream")

    def __init__(self, *, stage: str, run: Any, upstream: Sequence[Any], **options: Any):
        super().__init__(**options)
        self.stage = stage
        self.run = run
        self.upstream = upstream

    def command(self, context: Mapping[str, Any]) -> tuple[list[str], dict[str, Any] | None]:
        """The stage in a scratch workspace."""
        return ["work", self.stage], baton(context, self.run, self.upstream)


class Effect(Stage):
    """A command that reads all results and acts outside the pipeline: publish, gate, promote."""

    template_fields: Sequence[str] = ("stage", "run", "upstream", "decision")

    def __init__(self, *, decision: Any = None, **options: Any):
        super().__init__(**options)
        self.decision = decision

    def command(self, context: Mapping[str, Any]) -> tuple[list[str], dict[str, Any] | None]:
        """The command in a scratch workspace that holds all results."""
        request = baton(context, self.run, self.upstream)
        arguments = ["work", "--command", self.stage]
        if self.decision is not None:
            request["files"] = {"decision.json": json.dumps(self.decision)}
            arguments += ["--", "--decision", "decision.json"]
        return arguments, request


class Approval(ApprovalOperator):  # type: ignore[misc]
    """Ask a person, for as long as ``gate.approval_timeout_s`` of the run's params says."""

    template_fields: Collection[str] = (*ApprovalOperator.template_fields, "run")

    def __init__(self, *, run: Any, **options: Any):
        super().__init__(**options)
        self.run = run

    def execute(self, context: Any) -> Any:
        """Wait for the answer; holds no slot."""
        seconds = yaml.safe_load(self.run["params"])["gate"]["approval_timeout_s"]
        self.response_timeout = timedelta(seconds=seconds)
        return super().execute(context)


def baton(
    context: Mapping[str, Any], run: Mapping[str, str], upstream: Sequence[Any]
) -> dict[str, Any]:
    """The request to `coldstart work`; ``run`` is what the run began with."""
    lock: dict[str, Any] = {}
    for one in upstream:  # a mapped task hands on several
        for part in [one] if isinstance(one, dict) else list(one):
            lock |= part["lock"]
    return {**run, "lock": lock, "run_id": context["run_id"]}


def note(run_id: str, text: str) -> None:
    """Write the note that the UI shows on the run; a lost note fails nothing."""
    subprocess.run([sys.executable, "-m", "coldstart", "note", run_id, text], check=False)


def links(run_id: str, published: Mapping[str, Any], decision: Mapping[str, Any]) -> str:
    """What the note of a finished run says."""
    report = f"{REPORTS}/reports/{quote(run_id)}/report.html"
    return f"[Report]({report}) · [MLflow run]({published['url']})\n\n{decision['summary']}"
