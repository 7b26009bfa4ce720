"""The only place that runs ``dvc``, and only as a command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from coldstart.errors import ServiceError


def dvc(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Run ``dvc ARGUMENTS`` in ``cwd`` and return its standard output.

    Raises:
        ServiceError: dvc exits non-zero; carries the last lines of what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-20:])
        raise ServiceError(f"dvc {' '.join(arguments)} failed in {cwd}:\n{said}")
    return done.stdout
