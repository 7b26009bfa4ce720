"""A child process with all its children in a group that ends together with us.

``python -m coldstart.process PGID`` is the guard of a group: it ends the group once its standard
input does, which is when the process that started both is gone, however that was killed.
"""

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
_DONE = b"done"


def run_group(arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> tuple[int, str]:
    """Run a command as a process group of its own, its output copied to our standard error.

    A SIGTERM or SIGINT to us, our death or that of our parent, is passed on to the whole group,
    which then has ``GRACE_SECONDS`` to write its checkpoint.

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
        with process.stdout, _guard(process.pid), _forward_signals(process.pid):
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
def _guard(pgid: int) -> Iterator[None]:
    """A process that ends the group if we are killed, when no code of ours runs any more."""
    guard = subprocess.Popen(
        [sys.executable, "-m", "coldstart.process", str(pgid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert guard.stdin is not None
    try:
        yield
    finally:
        with suppress(BrokenPipeError):
            guard.stdin.write(_DONE)
            guard.stdin.close()
        guard.wait()


def main() -> None:
    """Guard the group that the first argument names."""
    if sys.stdin.buffer.read() != _DONE:
        end_group(int(sys.argv[1]))


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


if __name__ == "__main__":
    main()
