"""A child process with all its children in a group that ends together with us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import psutil

GRACE_SECONDS = 30.0


def run_group(arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> tuple[int, str]:
    """Run a command as a process group of its own, its output copied to our standard error.

    A SIGTERM or SIGINT to us, or the death of our parent, is passed on to the whole group, which
    then has ``GRACE_SECONDS`` to write its checkpoint.

    Returns:
        Exit code (negative: the signal) and what it wrote, both streams together.
    """
    process = subprocess.Popen(
        list(arguments),
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    done = threading.Event()
    threading.Thread(target=_orphan_watch, args=(process.pid, done), daemon=True).start()
    lines = []
    assert process.stdout is not None
    try:
        with process.stdout, _forward_signals(process.pid):
            for line in process.stdout:
                lines.append(line)
                sys.stderr.write(line)
                sys.stderr.flush()
            code = process.wait()
    finally:
        done.set()
        end_group(process.pid)
    return code, "".join(lines)


def end_group(pgid: int, grace: float = GRACE_SECONDS) -> None:
    """Ask a process group to end, and kill what is left of it after ``grace`` seconds."""
    deadline = time.monotonic() + grace
    alive = _signal_group(pgid, signal.SIGTERM)
    while alive and time.monotonic() < deadline:
        time.sleep(0.05)
        alive = any(_members(pgid))
    if alive:
        _signal_group(pgid, signal.SIGKILL)


def _members(pgid: int) -> Iterator[int]:
    """Processes of a group, without zombies, which an init that does not reap keeps for ever."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == pgid and process.status() != psutil.STATUS_ZOMBIE:
                yield process.pid


def _signal_group(pgid: int, number: int) -> bool:
    try:
        os.killpg(pgid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _orphan_watch(pgid: int, done: threading.Event) -> None:
    parent = os.getppid()
    while not done.wait(1.0):
        if os.getppid() != parent:
            end_group(pgid)
            return


@contextmanager
def _forward_signals(pgid: int) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def forward(number: int, frame: FrameType | None) -> None:
        _signal_group(pgid, signal.SIGTERM)

    old = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
