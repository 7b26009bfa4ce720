"""Bring a dataset into ``data/`` and hold it against its pin in ``data.dvc``.

Files arrive in a temporary folder and are moved into place by one rename, after the check: an
interrupted fetch leaves nothing, and one that brings other bytes than the pinned replaces nothing.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from coldstart.data.sources import file_digests
from coldstart.dvc_command import dvc
from coldstart.errors import DataError
from coldstart.intake.download import from_folder, from_recbole, from_url
from coldstart.intake.pin import check_pin, differences, pin_path, read_pins, write_pin
from coldstart.params import DataParams


@dataclass(frozen=True)
class Fetched:
    """What a fetch did."""

    folder: Path
    downloaded: bool
    pinned: bool  # data.dvc has a new pin, so it wants to be committed


def fetch(params: DataParams, root: Path, *, update: bool = False) -> Fetched:
    """Make ``data/NAME`` hold the pinned files; a dataset that is not pinned yet is pinned.

    With ``update`` the source is read again, and what it has now is pinned.

    Raises:
        DataError: the source lacks the dataset, or the bytes are not the pinned ones.
        ServiceError: the source cannot be reached.
    """
    data = root / "data"
    folder = data / params.name
    before = read_pins(data)
    downloaded = update or not folder.is_dir()
    if downloaded:
        _download(params, root, folder, update=update)
    else:
        check_pin(data, params.name)
    if (
        not pin_path(data).is_file()
        or dvc("status", "--json", pin_path(data).name, cwd=root).strip() != "{}"
    ):
        dvc("add", data.name, cwd=root)
    if read_pins(data).get(params.name) != (digests := file_digests(folder)):
        write_pin(data, params.name, digests)
    return Fetched(folder, downloaded, pinned=read_pins(data) != before)


def _download(params: DataParams, root: Path, folder: Path, *, update: bool) -> None:
    scratch_parent = root / ".coldstart"
    scratch_parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=scratch_parent) as scratch:
        fresh = Path(scratch) / params.name
        fresh.mkdir()
        if params.source == "recbole":
            from_recbole(params.name, fresh)
        elif params.source.startswith(("http://", "https://")):
            from_url(params.source, params.name, fresh)
        else:
            from_folder(root / Path(params.source).expanduser(), params.name, fresh)
        pinned = None if update else read_pins(folder.parent).get(params.name)
        if pinned and (said := differences(pinned, file_digests(fresh))):
            raise DataError(
                f"{params.source}: does not give the data that {pin_path(folder.parent)} pins: "
                f"{'; '.join(said)}. To take it as the new data, run `coldstart fetch --update`"
            )
        folder.parent.mkdir(exist_ok=True)
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        shutil.move(fresh, folder)
