"""The process above all services: starts them, and ends them together.

Run as ``python -m coldstart.stack.supervisor``, in the environment that
:meth:`coldstart.stack.settings.Settings.environment` makes.
"""

from __future__ import annotations

import os
import shlex
import sys

from honcho.manager import Manager

from coldstart.registry.store import server_arguments
from coldstart.stack.settings import Settings


def services(settings: Settings) -> dict[str, list[str]]:
    """Command line of each service.

    There is no triggerer: nothing here defers (an approval waits in the database).
    """
    host, python = settings.host, [sys.executable, "-m"]
    airflow = [*python, "airflow"]
    return {
        "api-server": [*airflow, "api-server", "--workers", "1"],
        "scheduler": [*airflow, "scheduler", "--skip-serve-logs"],  # the UI reads them from disk
        "dag-processor": [*airflow, "dag-processor"],
        "mlflow": [*python, "mlflow", "server", *server_arguments(host, settings.mlflow_port)],
        "reports": [
            *(*python, "http.server", str(settings.reports_port)),
            *("--bind", host, "--directory", str(settings.site)),
        ],
    }


def main() -> int:
    """Run until TERM, or until one of the services ends; then end the others too."""
    settings = Settings.from_environment()
    manager = Manager()
    for name, command in services(settings).items():
        manager.add_process(name, "exec " + shlex.join(command), env=dict(os.environ), quiet=False)
    manager.loop()
    return int(manager.returncode or 0)


if __name__ == "__main__":
    sys.exit(main())
