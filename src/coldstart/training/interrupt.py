"""A polite end: SIGTERM asks the loop to checkpoint and leave."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 128 + signal.SIGTERM


class Interrupt:
    """Whether the process was asked to end."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """The signal handler: only sets the flag, the loop acts between two steps."""
        self.requested = True


@contextmanager
def on_sigterm() -> Iterator[Interrupt]:
    """Catch SIGTERM while the block runs; the former handler is put back after it."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt  # only the main thread may install a handler
        return
    former = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGTERM, former)
