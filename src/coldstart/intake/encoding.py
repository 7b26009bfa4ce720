"""In which encoding a text file is: read to its end, so that no surprise comes later.

A byte order mark decides, then UTF-8 if all of it is that. What is left is a legacy encoding: where
only single bytes are not ASCII, as accents are, Windows-1252 is a fair guess (it covers Latin-1).
Between the others statistics err in silence, so a person has to choose.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

from coldstart.errors import DataError
from coldstart.intake.streams import CHUNK, opened

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32"}
_MARKS |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_ASKED = ("cp1251", "cp1250", "gb18030", "shift_jis", "euc_kr", "big5")
_HIGH = re.compile(rb"[\x80-\xff]+")


@dataclass
class _Seen:
    """What the bytes of a file are, as if they were UTF-8."""

    good: int = 0  # characters beyond ASCII
    bad: int = 0  # bytes that are in none
    row: int = 0  # of the first bad byte
    line: bytes = b""  # around it
    runs: int = 0  # of bytes beyond ASCII
    high: int = 0  # bytes in them


def encoding_of(path: Path, wanted: str | None) -> str:
    """The name of a Python codec that reads the whole file.

    Args:
        path: A text file, possibly compressed.
        wanted: What a person says; it is only checked.

    Raises:
        DataError: no encoding reads it, or several might.
    """
    if wanted is not None:
        _check(path, wanted)
        return wanted
    with opened(path) as content:
        start = content.read(4096)
    if not start.strip():
        raise DataError(f"{path}: is empty")
    for mark, name in _MARKS.items():
        if start.startswith(mark):
            _check(path, name)
            return name
    if b"\0" in start:
        raise DataError(f"{path}, row 1: has NUL bytes; if it is text, give --encoding utf-16-le")
    seen = _scan(path)
    if not seen.bad:
        return "utf-8"
    if seen.good > seen.bad:
        raise DataError(
            f"{path}, row {seen.row}: {seen.line!r} is not UTF-8, though the rest of the file is; "
            "correct the row, or give --encoding cp1252 to take it as it is"
        )
    if seen.high < 2 * seen.runs:
        return "cp1252"
    readings = {name: _reading(seen.line, name) for name in _ASKED}
    shown = ", ".join(f"{name} {text!r}" for name, text in readings.items() if text)
    raise DataError(
        f"{path}, row {seen.row}: is not UTF-8; give --encoding with the one that reads right: "
        f"{shown}"
    )


def _check(path: Path, encoding: str) -> None:
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
    except LookupError:
        raise DataError(f"--encoding {encoding}: Python knows no such encoding") from None
    row = 1
    with opened(path) as content:
        while True:
            part = content.read(CHUNK)
            try:
                row += decoder.decode(part, final=not part).count("\n")
            except UnicodeDecodeError as error:
                row += bytes(error.object)[: error.start].count(b"\n")
                raise DataError(
                    f"{path}, row {row}: is not {encoding} ({error.reason}); give --encoding"
                ) from None
            if not part:
                return


def _scan(path: Path) -> _Seen:
    seen = _Seen()
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    row = 1
    with opened(path) as content:
        while True:
            part = content.read(CHUNK)
            text = decoder.decode(part, final=not part)
            if not text.isascii():
                bad = re.findall("[\udc80-\udcff]", text)
                if bad and not seen.bad:
                    at = text.index(bad[0])
                    seen.row = row + text.count("\n", 0, at)
                    line = text[:at].rpartition("\n")[2][-20:] + text[at:].partition("\n")[0][:20]
                    seen.line = line.encode("utf-8", "surrogateescape").strip()
                seen.bad += len(bad)
                seen.good += len(re.findall("[^\x00-\x7f\udc80-\udcff]", text))
                found = _HIGH.findall(part)
                seen.runs += len(found)
                seen.high += sum(map(len, found))
            row += text.count("\n")
            if not part:
                return seen


def _reading(line: bytes, encoding: str) -> str:
    try:
        return line.decode(encoding)
    except UnicodeDecodeError:
        return ""
