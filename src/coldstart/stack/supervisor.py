"""The process above all services: supervisord, which knows its children by pid.

A service that dies runs again at once; one that does not stay up ends the stack, which says so in
its log. Without the supervisor its services end too (:mod:`coldstart.stack.watch`).
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from coldstart.registry.store import server_arguments
from coldstart.stack.settings import Settings

MODULE = "supervisor.supervisord"
_PYTHON = (sys.executable, "-m")


def services(settings: Settings) -> dict[str, list[str]]:
    """Command line of each service.

    There is no triggerer: nothing here defers (an approval waits in the database).
    """
    host = settings.host
    airflow = [*_PYTHON, "airflow"]
    return {
        "api-server": [*airflow, "api-server", "--workers", "1"],
        "scheduler": [*airflow, "scheduler", "--skip-serve-logs"],  # the UI reads them from disk
        "dag-processor": [*airflow, "dag-processor"],
        "mlflow": [*_PYTHON, "mlflow", "server", *server_arguments(host, settings.mlflow_port)],
        "reports": [
            *(*_PYTHON, "http.server", str(settings.reports_port)),
            *("--bind", host, "--directory", str(settings.site)),
        ],
    }


def command(settings: Settings) -> list[str]:
    """Command line of the supervisor; writes its configuration."""
    path = settings.home / "supervisord.conf"
    path.write_text(configuration(settings), encoding="utf-8")
    return [*_PYTHON, MODULE, "--nodaemon", "--configuration", str(path)]


def configuration(settings: Settings) -> str:
    """Text of ``supervisord.conf``."""
    logs, wrapped = settings.log.parent, [*_PYTHON, "coldstart.stack.service"]
    sections: dict[str, Mapping[str, object]] = {
        "supervisord": {
            "nodaemon": "true",
            "silent": "true",
            "logfile": logs / "supervisord.log",
            "pidfile": settings.home / "supervisord.pid",
            "childlogdir": logs,
        }
    }
    for name, line in services(settings).items():
        sections[f"program:{name}"] = {
            "command": shlex.join([*wrapped, name, *line]),
            "autorestart": "true",
            "startsecs": 5,
            "startretries": 3,
            "stopasgroup": "true",
            "killasgroup": "true",
            "stopwaitsecs": 15,
            **_log(settings.service_log(name)),
        }
    # one group: they are asked to end together, not one after another
    sections["group:stack"] = {"programs": ",".join(services(settings))}
    sections["eventlistener:watch"] = {
        "command": shlex.join([*_PYTHON, "coldstart.stack.watch"]),
        "events": "PROCESS_STATE_FATAL",
    }
    lines = []
    for section, options in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {str(value).replace('%', '%%')}" for key, value in options.items()]
    return "\n".join([*lines, ""])


def _log(path: Path) -> dict[str, object]:
    size = {"stdout_logfile_maxbytes": "20MB", "stdout_logfile_backups": 2}
    return {"stdout_logfile": path, "redirect_stderr": "true", **size}
