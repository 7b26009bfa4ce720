"""Where MLflow is, and a client that gives up soon.

``MLFLOW_TRACKING_URI`` names a server. Without it, everything lies in SQLite below
``COLDSTART_HOME/mlflow``, in the same files that the server of the embedded stack serves.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from coldstart import environment
from coldstart.errors import ServiceError

_PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
_ALWAYS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}

_OURS_TO_EXPLAIN = {"mlflow", "requests", "urllib3", "sqlalchemy"}


def home() -> Path:
    """Folder of the embedded database, artefacts and locks."""
    return environment.home() / "mlflow"


def tracking_uri() -> str:
    """The server's address, else the embedded database."""
    return environment.TRACKING_URI.text() or f"sqlite:///{home() / 'mlflow.db'}"


def server_arguments(host: str, port: int) -> list[str]:
    """Arguments of the ``mlflow server`` that shows the embedded store.

    It does not proxy artefacts: a stage with the server's address and one without it then find
    the same files.
    """
    return [
        *("--backend-store-uri", f"sqlite:///{home() / 'mlflow.db'}"),
        *("--default-artifact-root", str(home() / "artifacts")),
        "--no-serve-artifacts",
        *("--host", host, "--port", str(port), "--workers", "1"),
    ]


def configure() -> None:
    """Set what MLflow reads from the environment; call before its first import."""
    os.environ.update(_ALWAYS)
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    for name in ("alembic", "mlflow", "sqlalchemy", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")


@contextmanager
def host_lock(name: str) -> Iterator[None]:
    """Hold a lock that all processes with this ``COLDSTART_HOME`` share."""
    home().mkdir(mode=0o700, parents=True, exist_ok=True)  # the database is its owner's alone
    with FileLock(home() / f"{name}.lock", timeout=120):
        yield


def host_id() -> str:
    """Name of whoever shares :func:`host_lock` with us: the same machine and the same home."""
    place = f"{socket.gethostname()}/{uuid.getnode()}/{home().resolve()}"
    return hashlib.blake2b(place.encode(), digest_size=8).hexdigest()


def client() -> Any:
    """A connected ``MlflowClient``; the embedded database is created if it is missing.

    Raises:
        Exception: whatever MLflow raises when the store cannot be reached.
    """
    configure()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations within MLflow; nothing that we can change
        import mlflow
        from mlflow import MlflowClient

        uri = tracking_uri()
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        if not is_local():
            return MlflowClient(uri, uri)
        with host_lock("database"):  # two processes must not both create the tables
            return MlflowClient(uri, uri)


@contextmanager
def needed() -> Iterator[None]:
    """Around work that is pointless without MLflow.

    Raises:
        ServiceError: in place of whatever MLflow, or what it stands on, raised.
    """
    try:
        yield
    except Exception as error:
        if type(error).__module__.split(".")[0] not in _OURS_TO_EXPLAIN:
            raise
        text = " ".join(str(error).split())[:500]
        raise ServiceError(f"MLflow at {tracking_uri()}: {text}") from error


def is_local() -> bool:
    """Whether the store is the embedded database, without a server in front."""
    return tracking_uri().startswith("sqlite")
