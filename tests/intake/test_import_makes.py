"""The same three interactions in files of every make: always the same atomic file, no options."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from coldstart.intake.convert import import_files, import_frames
from coldstart.intake.wishes import Reading, Wishes

GOLDEN = """\
user_id:token\titem_id:token\trating:float\ttimestamp:float
zoë\ti1\t3.5\t1600000000
bob\ti 2\t4\t1600000060
zoë\ti 2\t0.5\t1600086400
"""
CSV = """\
user,item,rating,timestamp
zoë,i1,3.5,1600000000
bob,i 2,4,1600000060
zoë,i 2,0.5,1600086400
"""
ISO = (
    CSV.replace("1600000000", "2020-09-13T12:26:40")
    .replace("1600000060", "2020-09-13T12:27:40")
    .replace("1600086400", "2020-09-14T12:26:40")
)
QUOTED = "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in CSV.splitlines())
BODY = CSV.split("\n", 1)[1]
LATIN = CSV.encode("latin-1")
FRAME = pd.read_csv(io.StringIO(CSV))
TIMED = FRAME.assign(timestamp=pd.to_datetime(FRAME["timestamp"], unit="s"))


def _times(scale: int) -> bytes:
    frame = FRAME.assign(timestamp=FRAME["timestamp"] * scale)
    return frame.to_csv(index=False).encode()


def _dates(pattern: str, separator: str = ",") -> bytes:
    frame = TIMED.assign(timestamp=TIMED["timestamp"].dt.strftime(pattern))
    return frame.to_csv(index=False, sep=separator).encode()


def _jsonl(dump: Callable[[object], str] = json.dumps) -> bytes:
    return "".join(dump(row) + "\n" for row in FRAME.to_dict("records")).encode()


def _parquet(frame: pd.DataFrame, **how: object) -> bytes:
    file = io.BytesIO()
    frame.to_parquet(file, **how)  # type: ignore[call-overload]
    return file.getvalue()


def _zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


def _zip(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/ratings.csv", content)
        archive.writestr("__MACOSX/folder/._ratings.csv", b"\0")
    return file.getvalue()


UTF8 = CSV.encode()
MAKES = {
    "comma": UTF8,
    "tab": CSV.replace(",", "\t").encode(),
    "pipe": CSV.replace(",", "|").encode(),
    "semicolon": CSV.replace(",", ";").encode(),
    "two colons": CSV.replace(",", "::").encode(),
    "two colons, no header": BODY.replace(",", "::").encode(),
    "space, quoted": QUOTED.replace(",", " ").encode(),
    "decimal comma": CSV.replace(",", ";").replace(".", ",").encode(),
    "decimal comma, quoted": QUOTED.replace("3.5", "3,5").replace("0.5", "0,5").encode(),
    "no header": BODY.encode(),
    "no header, tab": BODY.replace(",", "\t").encode(),
    "quoted": QUOTED.encode(),
    "quoted text only": CSV.replace("i 2", '"i 2"').encode(),
    "quoted with backslashes": QUOTED.replace("rating", 'ra\\"ting').encode(),
    "no last line end": UTF8.rstrip(),
    "blank lines": UTF8.replace(b"\n", b"\n\n") + b"\n\n",
    "CRLF": UTF8.replace(b"\n", b"\r\n"),
    "CR": UTF8.replace(b"\n", b"\r"),
    "byte order mark": b"\xef\xbb\xbf" + UTF8,
    "UTF-16": CSV.encode("utf-16"),
    "UTF-16 big-endian": b"\xfe\xff" + CSV.encode("utf-16-be"),
    "UTF-32": CSV.encode("utf-32"),
    "Latin-1": LATIN,
    "gzip": gzip.compress(UTF8),
    "gzip of two parts": gzip.compress(UTF8[:30]) + gzip.compress(UTF8[30:]),
    "bzip2": bz2.compress(UTF8),
    "xz": lzma.compress(UTF8),
    "zstd": _zstd(UTF8),
    "zip": _zip(UTF8),
    "JSON lines": _jsonl(),
    "JSON lines, gzip": gzip.compress(_jsonl()),
    "JSON lines, zstd": _zstd(_jsonl()),
    "JSON lines, Latin-1": _jsonl(lambda row: json.dumps(row, ensure_ascii=False))
    .decode()
    .encode("latin-1"),
    "JSON list": json.dumps(FRAME.to_dict("records"), indent=1).encode(),
    "Python literals": _jsonl(repr),
    "Parquet": _parquet(FRAME),
    "Parquet of times": _parquet(TIMED),
    "Parquet, uncompressed, with an index": _parquet(
        TIMED.set_index(pd.Index([7, 8, 9])), compression=None
    ),
    "Parquet in gzip": gzip.compress(_parquet(FRAME)),
    "milliseconds": _times(10**3),
    "microseconds": _times(10**6),
    "nanoseconds": _times(10**9),
    "seconds with a point": UTF8.replace(b"\n", b".0\n").replace(b"timestamp.0", b"timestamp"),
    "ISO": ISO.encode(),
    "ISO, space": ISO.replace("T", " ").encode(),
    "ISO, Z": ISO.replace(":40", ":40Z").encode(),
    "ISO, zone": ISO.replace("T12:", "T14:").replace(":40", ":40+02:00").encode(),
    "ISO, UTC in words": ISO.replace("T", " ").replace(":40", ":40 UTC").encode(),
    "German dates": _dates("%d.%m.%Y %H:%M:%S", ";"),
    "American dates": _dates("%m/%d/%Y %I:%M:%S %p"),
    "months by name": _dates("%B %d, %Y %H:%M:%S"),
    "row names as R writes them": "\n".join(
        line if n == 0 else f'"{n}",{line}' for n, line in enumerate(CSV.splitlines())
    ).encode(),
    "an index as pandas writes it": FRAME.to_csv().encode(),
    "an atomic file": GOLDEN.encode(),
    "other names and order": FRAME.rename(
        columns={"user": "User-ID", "item": "ISBN", "rating": "Book-Rating", "timestamp": "Date"}
    )[["Date", "ISBN", "Book-Rating", "User-ID"]]
    .to_csv(index=False)
    .encode(),
    "spaces around": CSV.replace(",", " , ").encode(),
    "more columns": FRAME.assign(text='he said "no",\nand left', user_name=["x", "y", "x"])
    .to_csv(index=False)
    .encode(),
}


@pytest.mark.parametrize("make", MAKES)
def test_make(make: str, tmp_path: Path) -> None:
    path = tmp_path / "delivery.any"
    path.write_bytes(MAKES[make])
    imported = import_files([path], name="d", root=tmp_path)
    assert (tmp_path / "data/d/d.inter").read_text() == GOLDEN, imported.guesses
    assert sorted(p.name for p in (tmp_path / "data/d").iterdir()) == ["d.inter"]
    assert (imported.rows, imported.users, imported.items) == (3, 2, 2)
    assert not [note for note in imported.notes if "set aside" in note]


def test_there_are_makes_enough() -> None:
    assert len(MAKES) > 50
    assert len(set(MAKES.values())) == len(MAKES)


@pytest.mark.parametrize("encoding", ["cp1251", "gb18030", "shift_jis"])
def test_an_encoding_that_has_to_be_said(encoding: str, tmp_path: Path) -> None:
    name = {"cp1251": "Война и мир", "gb18030": "霸王别姬", "shift_jis": "七人の侍"}[encoding]
    path = tmp_path / "d.csv"
    path.write_bytes(CSV.replace("zoë", name).encode(encoding))
    with pytest.raises(ValueError, match=rf"row 2: is not UTF-8; .*{encoding} '.*{name}"):
        import_files([path], root=tmp_path)
    import_files([path], root=tmp_path, wishes=Wishes(reading=Reading(encoding=encoding)))
    assert (tmp_path / "data/d/d.inter").read_text() == GOLDEN.replace("zoë", name)


def test_frames_equal_files(tmp_path: Path) -> None:
    for number, frame in enumerate([FRAME, TIMED, FRAME.astype("object")]):
        import_frames(frame, name=f"d{number}", root=tmp_path)
        assert (tmp_path / f"data/d{number}/d{number}.inter").read_text() == GOLDEN
