"""The only place that runs ``dvc``, and only as a command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from coldstart.errors import ServiceError

_BATCH = """
import json, runpy, sys
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["dvc", *arguments]
    try:
        runpy.run_module("dvc", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            sys.exit(end.code)
"""


WITHOUT_GIT = "[core]\n    no_scm = true\n"
"""Of ``.dvc/config.local``."""


def has_git(folder: Path) -> bool:
    """Whether ``folder`` lies in the working tree of a git repository."""
    here = folder.resolve()
    return any((place / ".git").exists() for place in (here, *here.parents))


def dvc_batch(commands: Sequence[Sequence[str]]) -> list[str]:
    """Arguments of one process that runs several dvc commands until one fails.

    A dvc command spends most of its time on starting Python; together they start it once.
    """
    return [sys.executable, "-c", _BATCH, json.dumps([list(c) for c in commands])]


def dvc(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Run ``dvc ARGUMENTS`` in ``cwd`` and return its standard output.

    A checkout without git (an unpacked archive), which dvc refuses, is first configured to be one.

    Raises:
        ServiceError: dvc exits non-zero; carries the last lines of what it said.
    """
    local = cwd / ".dvc" / "config.local"
    if local.parent.is_dir() and not (local.exists() or has_git(cwd)):
        local.write_text(WITHOUT_GIT, encoding="utf-8")
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
