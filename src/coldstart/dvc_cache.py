"""Objects of DVC's cache and remote, held against their names before they are used.

An object's name is the MD5 of its content. DVC believes a name wherever the file is read-only, so
a bit that a disk turned would become another result under the right name, and be pushed. What a
stage reads is therefore hashed first, and what is damaged is dropped: then the cache pulls it
again, and what no place has is computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

FOLDER = ".dir"
"""End of the name of an object that lists the files of a folder."""


@dataclass(frozen=True)
class Output:
    """An output of a stage, or data: ``md5`` as ``dvc.lock`` has it, of what lies at ``path``.

    ``only`` is the part of it that is needed: a path that is, holds or lies in ``path``.
    """

    path: str
    md5: str
    only: str


@dataclass
class Found:
    """What :func:`drop_damaged` saw.

    Attributes:
        lost: files that neither cache nor remote has whole.
        unseen: outputs whose list of files is not here, so that dvc must fetch them first.
    """

    lost: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


def drop_damaged(cache: Path, remote: Path | None, outputs: Iterable[Output]) -> Found:
    """Drop every damaged object of ``outputs`` from the cache, and from a remote that is a folder.

    Objects that the cache holds whole are not asked of the remote. Of a remote that is no folder
    (None) nothing is known here: dvc hashes what it pulls from there.
    """
    found = Found()
    for output in outputs:
        listing = _whole(cache, remote, output.md5)
        if listing is None:
            (found.unseen if remote is None else found.lost).append(output.path)
        elif output.md5.endswith(FOLDER):
            files = _files(output, listing)
            lost = [path for path, md5 in files if _whole(cache, remote, md5) is None]
            found.lost += lost if remote is not None else []
    return found


def _files(output: Output, listing: Path) -> Iterator[tuple[str, str]]:
    """Path and MD5 of each needed file of a folder."""
    only = PurePosixPath(output.only)
    for entry in json.loads(listing.read_bytes()):
        path = PurePosixPath(output.path) / entry["relpath"]
        if only == path or only in path.parents or path in only.parents:
            yield str(path), entry["md5"]


def _whole(cache: Path, remote: Path | None, md5: str) -> Path | None:
    """Where the object lies undamaged, cache first; damaged ones on the way are removed."""
    for place in (cache, remote):
        if place is None:
            continue
        path = place / "files" / "md5" / md5[:2] / md5[2:]
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "md5").hexdigest()
        except FileNotFoundError:
            continue
        if found == md5.removesuffix(FOLDER):
            return path
        path.unlink(missing_ok=True)
    return None
