"""Bring a dataset into ``data/`` and hold it against its pin in ``data.dvc``.

Files arrive in a temporary folder and are moved into place by one rename, after the check: an
interrupted fetch leaves nothing, and one that brings other bytes than the pinned replaces nothing.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from coldstart.data.sources import file_digests, read_source
from coldstart.errors import DataError
from coldstart.intake.download import from_folder, from_recbole, from_url, from_zip
from coldstart.intake.pin import check_pin, differences, pin_path, read_pins
from coldstart.intake.pinning import pin
from coldstart.params import DataParams

IMPORTED = "import"
"""``data.source`` of data that ``coldstart import`` made."""


@dataclass(frozen=True)
class Fetched:
    """What a fetch did."""

    folder: Path
    downloaded: bool
    pinned: bool  # data.dvc has a new pin, so it wants to be committed
    changed: tuple[str, ...] = ()  # how a source on this machine differs now from what is here


def fetch(params: DataParams, root: Path, *, update: bool = False) -> Fetched:
    """Make ``data/NAME`` hold the pinned files; a dataset that is not pinned yet is pinned.

    With ``update`` the source is read again, and what it has now is pinned.

    Raises:
        DataError: the source lacks the dataset, it cannot be read, or the bytes are not the pinned.
        ServiceError: the source cannot be reached.
    """
    data = root / "data"
    folder = data / params.name
    downloaded = update or not folder.is_dir()
    changed: tuple[str, ...] = ()
    if downloaded:
        _download(params, root, folder, update=update)
    else:
        check_pin(data, params.name)
        changed = _changed(params, root, folder)
    return Fetched(folder, downloaded, pinned=pin(root, params.name), changed=changed)


def _download(params: DataParams, root: Path, folder: Path, *, update: bool) -> None:
    if params.source == IMPORTED:
        raise DataError(
            f"{folder}: is made by `coldstart import FILE...`, which data.source says; run "
            "that again, or get it from the DVC remote by `dvc pull data.dvc`"
        )
    with _scratch(root) as scratch:
        fresh = scratch / params.name
        _bring(params, root, fresh)
        pinned = None if update else read_pins(folder.parent).get(params.name)
        if pinned and (said := differences(pinned, file_digests(fresh))):
            raise DataError(
                f"{params.source}: does not give the data that {pin_path(folder.parent)} pins: "
                f"{'; '.join(said)}. To take it as the new data, run `coldstart fetch --update`"
            )
        _check_readable(fresh, params)
        folder.parent.mkdir(exist_ok=True)
        if folder.exists():
            folder.rename(scratch / "old")
        shutil.move(fresh, folder)


def _bring(params: DataParams, root: Path, fresh: Path) -> None:
    fresh.mkdir()
    place = root / Path(params.source).expanduser()
    if params.source == "recbole":
        from_recbole(params.name, fresh)
    elif params.source.startswith(("http://", "https://")):
        from_url(params.source, params.name, fresh)
    elif place.is_file():
        from_zip(place, params.name, fresh)
    else:
        from_folder(place, params.name, fresh)


def _check_readable(fresh: Path, params: DataParams) -> None:
    """What cannot be read is not pinned: it would have to be unpinned after it was mended."""
    try:
        read_source(fresh, params.name)
    except DataError as error:
        said = str(error).replace(str(fresh), params.source.rstrip("/"))
        raise DataError(f"{said}\nNothing was pinned: correct it there and fetch again") from None


def _changed(params: DataParams, root: Path, folder: Path) -> tuple[str, ...]:
    """How the source differs from ``folder``, where looking costs no download."""
    place = root / Path(params.source).expanduser()
    if params.source == IMPORTED or not place.exists():
        return ()
    with _scratch(root) as scratch:
        fresh = scratch / params.name
        try:
            _bring(params, root, fresh)
        except DataError as error:
            return (str(error),)
        return tuple(differences(file_digests(folder), file_digests(fresh)))


@contextmanager
def _scratch(root: Path) -> Iterator[Path]:
    parent = root / ".coldstart"
    parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=parent) as scratch:
        yield Path(scratch)
