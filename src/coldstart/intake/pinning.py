"""Let ``data.dvc`` say what lies in ``data/``.

Apart from :mod:`coldstart.intake.pin`, which runs no dvc: ``validate`` holds data against its pin,
and its result must not depend on how dvc is run.
"""

from __future__ import annotations

from pathlib import Path

from coldstart.data.sources import file_digests
from coldstart.dvc_command import dvc
from coldstart.intake.pin import pin_path, read_pins, write_pin


def pin(root: Path, name: str) -> bool:
    """Pin ``data/NAME``; returns whether ``data.dvc`` said otherwise before.

    Raises:
        DataError: ``data.dvc`` cannot be read.
        ServiceError: dvc fails.
    """
    data = root / "data"
    before = read_pins(data)
    entry = pin_path(data)
    if not entry.is_file() or dvc("status", "--json", entry.name, cwd=root).strip() != "{}":
        dvc("add", data.name, cwd=root)
    if read_pins(data).get(name) != (digests := file_digests(data / name)):
        write_pin(data, name, digests)
    return read_pins(data) != before
