"""A file's bytes, decompressed by what they are (not by the file's name), and as UTF-8 text."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from coldstart.errors import DataError

CHUNK = 1 << 20

_BROKEN = (EOFError, OSError, lzma.LZMAError, zlib.error, zipfile.BadZipFile)
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}
_UNPACK: dict[str, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
_MAGIC |= {b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip", b"PK\x05\x06": "zip"}


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The content of a file, decompressed.

    Raises:
        DataError: there is no such file, or what is read of it inside is damaged or cut off.
    """
    kind = "plain"
    try:
        with path.open("rb") as file:
            start = file.read(8)
            kind = next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), kind)
            file.seek(0)
            with _decompressed(file, kind, path) as content:
                yield content
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder; name the files in it") from None
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"{error.filename or path}: {error.strerror}") from None
        raise DataError(
            f"{path}: is no complete {kind} file ({str(error) or type(error).__name__}); it is cut "
            "off or damaged: get it again"
        ) from None


@contextmanager
def _decompressed(file: IO[bytes], kind: str, path: Path) -> Iterator[IO[bytes]]:
    if kind in _UNPACK:
        with _UNPACK[kind](file) as content:
            yield content
    elif kind == "zstd":
        yield pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
    elif kind == "zip":
        with zipfile.ZipFile(file) as archive:
            only = _only_member(archive, path)
            if only.flag_bits & 1:
                raise DataError(f"{path}: is locked by a password; unpack it and name the file")
            with archive.open(only) as member:
                yield member
    else:
        yield file


def _only_member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    members = [m for m in archive.infolist() if not m.is_dir() and "__MACOSX" not in m.filename]
    if len(members) == 1:
        return members[0]
    names = [member.filename for member in members]
    if "[Content_Types].xml" in names:
        raise DataError(f"{path}: is an Excel workbook; save its sheet as CSV")
    raise DataError(
        f"{path}: holds {len(names)} files ({', '.join(names[:6])}); unpack it and name those that "
        "you want"
    )


@contextmanager
def seekable(path: Path) -> Iterator[IO[bytes]]:
    """As :func:`opened`, for formats that are read from their end; unpacked to disk if need be."""
    with opened(path) as content:
        if content.seekable() and isinstance(content, io.BufferedReader):
            yield content
            return
        with tempfile.TemporaryFile() as copy:
            while part := content.read(CHUNK):
                copy.write(part)
            copy.seek(0)
            yield copy


class Recoded(io.RawIOBase):
    """A stream of bytes in some encoding, read as UTF-8, with a long separator made short."""

    def __init__(self, content: IO[bytes], encoding: str, replace: tuple[str, str] | None) -> None:
        self._content = content
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._replace = replace
        self._pending = b""
        self._held = ""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer, as :class:`io.RawIOBase` wants it.

        Raises:
            UnicodeDecodeError: the bytes are in another encoding.
        """
        while not self._pending:
            part = self._content.read(CHUNK)
            text = self._held + self._decoder.decode(part, final=not part)
            self._held = ""
            if self._replace:
                long, short = self._replace
                if part and text.endswith(long[0]):  # its other half may be in the next part
                    keep = len(text.rstrip(long[0]))
                    text, self._held = text[:keep], text[keep:]
                text = text.replace(long, short)
            self._pending = text.encode()
            if not part:
                break
        taken = self._pending[: len(buffer)]
        buffer[: len(taken)] = taken
        self._pending = self._pending[len(taken) :]
        return len(taken)
