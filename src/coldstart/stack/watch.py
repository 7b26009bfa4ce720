"""The process beside the supervisor, which listens to it: ``python -m coldstart.stack.watch``.

A service that does not stay up ends the stack, and so does the end of the supervisor, however it
was killed: then its pipe to us ends. Which it was stands in the stack's log, where commands look
for the reason.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path

from supervisor import childutils

from coldstart.stack import processes
from coldstart.stack.settings import Settings

LINES = 20


def main() -> None:
    """Wait for either."""
    settings = Settings.from_environment()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # an orderly end of the stack
    try:
        _, payload = childutils.listener.wait()
    except KeyError:  # no header: the pipe has ended
        _say(settings, "the supervisor was killed, so the stack ends")
        processes.end(settings.home)
        return
    _say(settings, reason(settings, childutils.get_headers(payload)["processname"]))
    os.kill(os.getppid(), signal.SIGTERM)
    childutils.listener.ok()


def reason(settings: Settings, name: str) -> str:
    """What a person needs to know of a service that does not stay up."""
    log = settings.service_log(name)
    return f"{last_lines(log)}{name} does not stay up, so the stack ends (its log: {log})"


def last_lines(log: Path, lines: int = LINES) -> str:
    """The end of a log, or why it cannot be read."""
    try:
        with log.open(encoding="utf-8", errors="replace") as file:
            return "".join(deque(file, lines))
    except OSError as error:
        return f"{error}\n"


def _say(settings: Settings, text: str) -> None:
    with suppress(OSError), settings.log.open("a", encoding="utf-8") as log:  # the disk may be full
        print(text, file=log)


if __name__ == "__main__":
    main()
