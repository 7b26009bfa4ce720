"""What a command costs: CPU seconds and the peak of memory, its own children included.

    python benchmarks/cost_of.py FILE COMMAND...

A process starts with the peak of the one that started it, so whoever measures has to be small: this
file imports nothing of ours, and is itself run as a process of its own.
"""

import json
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    path, *command = sys.argv[1:]
    child = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)
    found = {"seconds": usage.ru_utime + usage.ru_stime, "peak_mib": usage.ru_maxrss / 1024}
    Path(path).write_text(json.dumps(found), encoding="utf-8")
