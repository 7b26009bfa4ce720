"""A dataset's atomic files out of a zip, which may come from anywhere and be damaged."""

from __future__ import annotations

import lzma
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

from coldstart.data.sources import SUFFIXES, instead
from coldstart.errors import DataError

MAX_BYTES = 16 << 30  # of an archive and of what it unpacks to

_DAMAGED = (
    zipfile.BadZipFile,
    NotImplementedError,  # a compression or an encryption that zipfile does not know
    RuntimeError,  # a password
    EOFError,
    OverflowError,
    UnicodeDecodeError,
    lzma.LZMAError,
    struct.error,
    zlib.error,
)


def unpack(archive: Path, name: str, target: Path, origin: str) -> None:
    """Take ``NAME.*`` out of a zip, wherever they lie in it; paths in it are never used.

    Raises:
        DataError: ``origin`` is no readable zip, holds no ``NAME.inter``, or too much.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            members = _members(content, name, origin)
            for file_name, info in members.items():
                with content.open(info) as packed, (target / file_name).open("wb") as file:
                    shutil.copyfileobj(packed, file)
    except _DAMAGED as error:
        raise _unreadable(origin, error) from None
    except OSError as error:
        if error.errno is not None:  # this machine's fault: no space, no permission
            raise
        raise _unreadable(origin, error) from None  # how bz2 says that a stream is damaged


def _members(content: zipfile.ZipFile, name: str, origin: str) -> dict[str, zipfile.ZipInfo]:
    wanted = {f"{name}.{suffix}" for suffix in SUFFIXES}
    members: dict[str, zipfile.ZipInfo] = {}
    for info in content.infolist():
        file_name = info.filename.replace("\\", "/").rsplit("/", 1)[-1]
        if file_name in wanted and file_name in members:
            raise DataError(f"{origin}: holds {file_name} twice")
        if file_name in wanted:
            members[file_name] = info
    if f"{name}.inter" not in members:
        found = sorted(n for n in content.namelist() if n.endswith(".inter"))
        raise DataError(f"{origin}: holds no {name}.inter{instead(found, name)}")
    if sum(info.file_size for info in members.values()) > MAX_BYTES:
        raise DataError(f"{origin}: unpacks to more than {MAX_BYTES} bytes")
    return members


def _unreadable(origin: str, error: Exception) -> DataError:
    return DataError(f"{origin}: is not a readable zip: {error or type(error).__name__}")
