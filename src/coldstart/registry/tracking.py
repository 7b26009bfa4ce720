"""Record a stage without slowing it down, and without ever making it fail.

Importing mlflow takes seconds. A stage therefore starts a recorder process, which connects while
the stage works, and tells it the outcome through a pipe. If the stage is killed, the recorder sees
the pipe end and says so in the run. A recorder that is not done a second after its stage goes on
alone and leaves its complaints, if any, in ``COLDSTART_HOME/mlflow/tracking.log``.
``COLDSTART_TRACKING=off`` records nothing.
"""

from __future__ import annotations

import json
import logging
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from coldstart import environment

_LOG = logging.getLogger("coldstart.tracking")
_GRACE = 1.0
"""Seconds that a finished stage waits for its recorder."""
_STARTED: list[subprocess.Popen[str]] = []
"""Recorders of this process; one that is left alone must not be collected while it runs."""


@contextmanager
def tracked_stage(name: str, algorithm: str | None = None) -> Iterator[None]:
    """Record what happens inside as the nested run of a stage: seconds, memory, params, outcome."""
    recorder = _start(name, algorithm)
    began = time.perf_counter()
    outcome: dict[str, Any] = {"status": "FINISHED"}
    try:
        yield
    except BaseException as error:
        outcome["status"] = "FAILED" if isinstance(error, Exception) else "KILLED"
        outcome["reason"] = f"{type(error).__name__}: {error}"
        raise
    finally:
        if recorder is not None:
            outcome["seconds"] = time.perf_counter() - began
            outcome["peak_rss_mb"] = _peak_rss_mb()
            _finish(recorder, outcome)


def _peak_rss_mb() -> float:
    """Peak resident memory of this process and of the largest of its children, MiB."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(w).ru_maxrss for w in who) / 1024


def _start(name: str, algorithm: str | None) -> subprocess.Popen[str] | None:
    if environment.TRACKING.text() == "off":
        return None
    try:
        recorder = subprocess.Popen(
            [sys.executable, "-m", "coldstart.registry.recorder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # a signal to the stage's group must not silence the recorder
        )
        _STARTED.append(recorder)
        _send(recorder, {"stage": name, "algorithm": algorithm})
    except OSError as error:
        _LOG.warning("tracking is off for this stage: %s", error)
        return None
    return recorder


def _send(recorder: subprocess.Popen[str], message: dict[str, Any]) -> None:
    assert recorder.stdin is not None
    with suppress(BrokenPipeError):  # it gave up; what it has to say is read at the end
        recorder.stdin.write(json.dumps(message) + "\n")
        recorder.stdin.flush()


def _finish(recorder: subprocess.Popen[str], outcome: dict[str, Any]) -> None:
    _send(recorder, outcome)
    try:
        said, _ = recorder.communicate(timeout=_GRACE)
    except subprocess.TimeoutExpired:
        return
    except (OSError, ValueError) as error:
        said = str(error)
    if said.strip():
        _LOG.warning("this stage is not fully recorded in MLflow: %s", said.strip())
    elif recorder.returncode != 0:
        _LOG.warning("this stage is not fully recorded: recorder exit code %s", recorder.returncode)
