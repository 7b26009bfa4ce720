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
from coldstart.errors import DataError
from coldstart.intake.download import from_folder, from_recbole, from_url
from coldstart.intake.pin import check_pin, differences, pin, pin_path, read_pins
from coldstart.params import DataParams

IMPORTED = "import"
"""``data.source`` of data that ``coldstart import`` made."""


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
    downloaded = update or not folder.is_dir()
    if downloaded:
        _download(params, root, folder, update=update)
    else:
        check_pin(data, params.name)
    return Fetched(folder, downloaded, pinned=pin(root, params.name))


def _download(params: DataParams, root: Path, folder: Path, *, update: bool) -> None:
    scratch_parent = root / ".coldstart"
    scratch_parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=scratch_parent) as scratch:
        fresh = Path(scratch) / params.name
        fresh.mkdir()
        if params.source == IMPORTED:
            raise DataError(
                f"{folder}: is made by `coldstart import FILE...`, which data.source says; run "
                "that again, or get it from the DVC remote by `dvc pull data.dvc`"
            )
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
