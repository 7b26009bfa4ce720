"""Find and end the processes of a stack, also those that a killed supervisor left behind."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import psutil

from coldstart import environment


def of_stack(home: Path) -> list[psutil.Process]:
    """Processes that carry the mark of the stack at ``home``, except us and our ancestors."""
    mine = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        if process.pid in mine:
            continue
        try:
            if process.environ().get(environment.STACK.name) == str(home):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def end(home: Path, *, patience: float = 15.0) -> int:
    """End the stack at ``home``: ask its top processes, then all, then kill. Returns how many."""
    first = of_stack(home)
    pids = {process.pid for process in first}
    top = [p for p in first if _parent(p) not in pids]
    _signal(top, force=False)
    psutil.wait_procs(first, timeout=patience)
    for force in (False, True):
        left = of_stack(home)
        if not left:
            break
        _signal(left, force=force)
        psutil.wait_procs(left, timeout=5)
    return len(first)


def end_all(found: Sequence[psutil.Process], *, patience: float) -> None:
    """Ask processes to end, and kill those that have not after ``patience`` seconds."""
    _signal(found, force=False)
    _, left = psutil.wait_procs(found, timeout=patience)
    _signal(left, force=True)
    psutil.wait_procs(left, timeout=5)


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return 0


def _signal(processes: Sequence[psutil.Process], *, force: bool) -> None:
    for process in processes:
        try:
            process.kill() if force else process.terminate()
        except psutil.Error:
            continue
