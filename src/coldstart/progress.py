"""Progress of long work: a bar in a terminal, about ten lines in a log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
_LOG = logging.getLogger("coldstart")
_SILENT: ContextVar[bool] = ContextVar("silent", default=False)


@contextmanager
def silent() -> Iterator[None]:
    """Show nothing of what runs inside: it is one step of some longer work that is shown."""
    token = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(token)


def progress(steps: Iterable[T], what: str, *, total: int | None = None) -> Iterator[T]:
    """Yield from ``steps`` and show how far it is; ``what`` names the work in the display."""
    if total is None and isinstance(steps, Sized):
        total = len(steps)
    if _SILENT.get():
        yield from steps
        return
    if sys.stderr.isatty():
        yield from tqdm(steps, desc=what, total=total, leave=False)
        return
    every = max(1, (total or 100) // 10)
    for done, step in enumerate(steps, start=1):
        yield step
        if done % every == 0 or done == total:
            _LOG.info("%s: %s of %s", what, done, total if total is not None else "?")
