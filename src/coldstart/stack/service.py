"""What a service of the stack is started through: ``python -m coldstart.stack.service NAME ...``.

It sees to it that nothing of its predecessor is left. A scheduler that was killed leaves its tasks
behind, which the next one would start again beside them; a server, its workers and their port.
"""

from __future__ import annotations

import os
import sys

import psutil

from coldstart import environment
from coldstart.stack import processes

PATIENCE = 10.0
"""Seconds that what is left has to write its checkpoint: a service must be back within 30."""


def main() -> None:
    """Become the service that the further arguments are the command of."""
    name, command = sys.argv[1], sys.argv[2:]
    left = [p for p in processes.of_stack(environment.home()) if _service(p) == name]
    processes.end_all(left, patience=PATIENCE)
    os.environ[environment.SERVICE.name] = name
    os.execv(command[0], command)  # noqa: S606


def _service(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(environment.SERVICE.name)
    except (psutil.Error, OSError):
        return None


if __name__ == "__main__":
    main()
