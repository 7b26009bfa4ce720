"""Every environment variable that the program reads: name, default, meaning.

An empty variable counts as unset. What one machine needs has a default; many machines only set
these. ``docs/operations.md`` has a table of those that a person sets.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from coldstart.errors import ParamsError


class Variable(NamedTuple):
    """One environment variable."""

    name: str
    default: str  # empty: unset, with what `meaning` says then
    meaning: str

    def text(self) -> str:
        """Its value, else the default."""
        return os.environ.get(self.name) or self.default

    def number(self, least: int, most: int) -> int:
        """Its value as a whole number.

        Raises:
            ParamsError: it is none, or out of range.
        """
        text = self.text()
        if not text.isdecimal() or not least <= int(text) <= most:
            raise ParamsError(
                f"{self.name}: {text!r} is not allowed: set it to a whole number from {least} to "
                f"{most}, or unset it for {self.default}"
            )
        return int(text)


HOME = Variable("COLDSTART_HOME", ".coldstart", "state: databases, caches, checkpoints, logs")
PROJECT = Variable("COLDSTART_PROJECT", ".", "the checkout whose pipeline and code the workers run")
WORK = Variable("COLDSTART_WORK", "", "where scratch workspaces are made; `COLDSTART_HOME/work`")
HOST = Variable(
    "COLDSTART_HOST", "127.0.0.1", "address to listen on; `0.0.0.0` only in a container"
)
AIRFLOW_PORT = Variable("COLDSTART_AIRFLOW_PORT", "8080", "port of Airflow's UI and API")
MLFLOW_PORT = Variable("COLDSTART_MLFLOW_PORT", "5000", "port of MLflow's UI and API")
REPORTS_PORT = Variable("COLDSTART_REPORTS_PORT", "8090", "port of reports and Data Docs")
PARALLELISM = Variable("COLDSTART_PARALLELISM", "4", "tasks at once")
GPU_SLOTS = Variable("COLDSTART_GPU_SLOTS", "2", "trainings at once: one per GPU")
DVC_REMOTE = Variable(
    "COLDSTART_DVC_REMOTE",
    "",
    "DVC remote, a folder or `s3://...`; `COLDSTART_HOME/dvc/remote`",
)
DVC_CACHE = Variable(
    "COLDSTART_DVC_CACHE", "", "DVC cache of this host; `COLDSTART_HOME/dvc/cache`"
)
TRACKING_URI = Variable(
    "MLFLOW_TRACKING_URI",
    "",
    "MLflow server of runs and registry; SQLite in `COLDSTART_HOME/mlflow`",
)
TRACKING = Variable("COLDSTART_TRACKING", "on", "`off`: stages record nothing")
RUN_KEY = Variable(
    "COLDSTART_RUN_KEY",
    "",
    "identity of the parent run, which the DAG sets; a digest of params, data and code",
)
REVISION = Variable("COLDSTART_REVISION", "", "revision written into runs; `git describe`")
REPORTS_URL = Variable(
    "COLDSTART_REPORTS_URL", "http://127.0.0.1:8090", "where the UI's links to reports point"
)
ERROR_FILE = Variable(
    "COLDSTART_ERROR_FILE", "", "where a failed command leaves its error as JSON; nowhere"
)
STACK = Variable(
    "COLDSTART_STACK", "", "mark of the processes of a stack, which sets it: the stack's home"
)
SERVICE = Variable(
    "COLDSTART_SERVICE", "", "mark of the processes of one service, which its stack sets: its name"
)

ALL = (
    HOME, PROJECT, WORK, HOST, AIRFLOW_PORT, MLFLOW_PORT, REPORTS_PORT, PARALLELISM, GPU_SLOTS,
    DVC_REMOTE, DVC_CACHE, TRACKING_URI, TRACKING, RUN_KEY, REVISION, REPORTS_URL, ERROR_FILE,
    STACK, SERVICE,
)  # fmt: skip


def home() -> Path:
    """Folder for state that is not a result."""
    return Path(HOME.text()).absolute()


def project() -> Path:
    """Root of the checkout."""
    return Path(PROJECT.text()).absolute()


def work() -> Path:
    """Folder of scratch workspaces."""
    return Path(WORK.text() or home() / "work")


def dvc_remote() -> str:
    """Address of the DVC remote."""
    return DVC_REMOTE.text() or str(home() / "dvc" / "remote")


def dvc_cache() -> str:
    """Folder of this host's DVC cache."""
    return DVC_CACHE.text() or str(home() / "dvc" / "cache")
