"""What cannot be used is set aside by row, or ends the import in one sentence that helps."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from coldstart.errors import DataError, ParamsError
from coldstart.intake.convert import Imported, import_files, import_frames
from coldstart.intake.wishes import Reading, Wishes

ROWS = [f"u{n % 7},i{n % 9},{n % 5 + 1},{1_600_000_000 + n}" for n in range(40)]
CSV = "\n".join(["user,item,rating,timestamp", *ROWS]) + "\n"


def load(tmp_path: Path, content: str | bytes, **wishes: object) -> Imported:
    """Import one file named ``d.csv``."""
    path = tmp_path / "d.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return import_files([path], root=tmp_path, wishes=Wishes(**wishes))  # type: ignore[arg-type]


def with_row(row: str, at: int = 5) -> str:
    """The table with row ``at`` (the header is row 1) replaced."""
    lines = CSV.splitlines()
    lines[at - 1] = row
    return "\n".join(lines) + "\n"


def report(imported: Imported) -> list[dict[str, str]]:
    with imported.report.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("row", "column", "value", "reason"),
    [
        (",i1,3,1600000000", "user", "", "no user"),
        ("NaN,i1,3,1600000000", "user", "NaN", "no user"),
        ("u1, ,3,1600000000", "item", " ", "no item"),
        ("u1,null,3,1600000000", "item", "null", "no item"),
        ("u1,i1,,1600000000", "rating", "", "no rating"),
        ("u1,i1,good,1600000000", "rating", "good", "the rating is no number with '.'"),
        ("u1,i1,inf,1600000000", "rating", "inf", "the rating is no number with '.'"),
        ("u1,i1,1.2.3,1600000000", "rating", "1.2.3", "the rating is no number with '.'"),
        ("u1,i1,3,", "timestamp", "", "no time"),
        ("u1,i1,3,soon", "timestamp", "soon", "the time is not in seconds"),
        ("u1,i1,3,-5", "timestamp", "-5", "a time before 1970 or after 2100"),
        ("u1,i1,3,0", "timestamp", "0", "a time before 1970 or after 2100"),
        ("u1,i1,3,1600000000000", "timestamp", "1600000000000", "a time before 1970 or after 2100"),
        ("u1,i1,3", "", "", "has 3 fields, expected 4"),
        ("u1,i1,3,1,1", "", "", "has 5 fields, expected 4"),
        ("u1;i1;3;1600000000", "", "", "has 1 fields, expected 4; is separated by ';'"),
    ],
)
def test_a_bad_row_is_set_aside(
    row: str, column: str, value: str, reason: str, tmp_path: Path
) -> None:
    imported = load(tmp_path, with_row(row), reading=Reading(quotes=True))
    assert imported.rows == len(ROWS) - 1
    lines = (tmp_path / "data/d/d.inter").read_text().splitlines()[1:]
    assert lines == [r.replace(",", "\t") for n, r in enumerate(ROWS) if n != 3]
    (noted,) = report(imported)
    assert noted["row"] == "5"
    assert noted["file"].endswith("d.csv")
    assert (noted["column"], noted["value"]) == (column, value)
    assert noted["what"] == f"set aside: {reason}"
    assert row in noted["content"] or row.split(",")[1].strip('"') in noted["content"]
    (said,) = imported.notes
    assert "d.csv" in said
    assert "row 5" in said


def test_the_first_reason_counts(tmp_path: Path) -> None:
    imported = load(tmp_path, with_row(",,bad,bad"))
    assert [line["what"] for line in report(imported)] == ["set aside: no user"]


def test_what_was_changed_is_noted_by_row(tmp_path: Path) -> None:
    imported = load(tmp_path, with_row("  u1 ,i\t 1,3,1600000000"))
    assert "u1\ti 1\t3\t1600000000\n" in (tmp_path / "data/d/d.inter").read_text()
    assert [(n["row"], n["column"], n["value"], n["what"]) for n in report(imported)] == [
        ("5", "user", "  u1 ", "changed to 'u1': plain key"),
        ("5", "item", "i\t 1", "changed to 'i 1': plain key"),
    ]


def test_rows_are_numbered_past_blank_lines_and_quoted_line_ends(tmp_path: Path) -> None:
    text = 'user,item,rating,note\na,1,1,"x\ny"\n\na,2,2\nb,1,bad,\n' + "c,1,3,\n" * 30
    imported = load(tmp_path, text)
    assert [line["row"] for line in report(imported)] == ["4", "5"]


def _cut(packed: bytes) -> bytes:
    return packed[: len(packed) * 2 // 3]


def _locked_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.csv", CSV)
    content = bytearray(file.getvalue())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def _zip(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, CSV)
    return file.getvalue()


def _damaged_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", CSV)
    content = bytearray(file.getvalue())
    content[60:90] = bytes(30)
    return bytes(content)


def _parquet() -> bytes:
    file = io.BytesIO()
    pd.DataFrame({"user": ["a"], "item": ["b"]}).to_parquet(file)
    return file.getvalue()


NAMELESS = CSV.replace("user,item,rating,timestamp", "who,what,mark,day")
NOISE = np.random.default_rng(0).bytes(3000)
FAULTS = {
    "empty": (b"", "d.csv: is empty"),
    "blank": (b"\n \n", "d.csv: is empty"),
    "header only": (b"user,item,rating\n", "d.csv: has no rows"),
    "gzip cut off": (_cut(gzip.compress(CSV.encode())), "d.csv: is no complete gzip file"),
    "bzip2 cut off": (_cut(bz2.compress(CSV.encode())), "d.csv: is no complete bzip2 file"),
    "xz cut off": (_cut(lzma.compress(CSV.encode())), "d.csv: is no complete xz file"),
    "gzip of noise": (b"\x1f\x8b" + NOISE, "d.csv: is no complete gzip file"),
    "zip cut off": (_cut(_zip("a.csv")), "d.csv: is no complete zip file"),
    "zip damaged": (_damaged_zip(), "d.csv: is no complete zip file"),
    "zip of two": (_zip("a.csv", "b.csv"), r"holds 2 files \(a.csv, b.csv\); unpack it"),
    "zip with a password": (_locked_zip(), "is locked by a password"),
    "Excel": (_zip("[Content_Types].xml", "xl/workbook.xml"), "is an Excel workbook; save"),
    "Parquet cut off": (_cut(_parquet()), "is no complete Parquet file"),
    "NUL bytes": (CSV.encode("utf-16-le"), "row 1: has NUL bytes; .* --encoding utf-16-le"),
    "one byte of another encoding": (
        CSV.replace("u1,", "ü1,").encode() + b"\xfc9,i1,3,1600000000\n",
        r"row 42: b'.*\\xfc9.*' is not UTF-8, though the rest of the file is",
    ),
    "one column": (b"alpha\nbeta\ngamma\n", "row 1: 'alpha' has no two columns by tab, .*--sep"),
    "no names that are known": (
        NAMELESS.encode(),
        r"which column is the user\? give --user COLUMN; columns: 1 'who' \(as 'u0'\), 2 'what'",
    ),
    "only a user": (
        b"user_id,age\na,3\nb,4\n",
        r"which column is the item\? give --item COLUMN; columns: 1 'user_id'",
    ),
    "half of the rows separated otherwise": (
        "\n".join([*CSV.splitlines()[:24], *CSV.replace(",", ";").splitlines()[24:]]).encode(),
        r"17 of 40 rows cannot.*1 fields, expected 4; is separated by ';' \(row 25\).*-aside 0.43",
    ),
    "a decimal comma among points": (
        CSV.replace(",4,", ',"3,5",').replace(",5,", ",4.5,").encode(),
        r"8 of 40 rows .*column 'rating' the rating is no number with '.' \(row 5: '3,5'\)",
    ),
    "a time nobody knows": (
        CSV.replace(",16000000", ",week ").encode(),
        r"row 2, column 'timestamp': 'week 00' is no time that is known; give --time-form",
    ),
    "days or months": (
        CSV.replace(",16000000", ",01/02/20").encode(),
        r"row 2, column 'timestamp': '01/02/2000' may be D/M/Y or M/D/Y; give --time-form '%d/%m",
    ),
    "an open quote in a key": (
        with_row('"u1\nx",i1,3,1600000000').encode(),
        r"row 5, column 'user': a quote is opened and not closed",
    ),
    "an open quote up to the end": (
        with_row('"u1,i1,3,1600000000').encode(),
        r"has 1 fields, expected 4; runs over 37 lines, so perhaps a quote is not closed \(row 5\)",
    ),
    "JSON that is none": (b"{broken\n{so is this\n", "row 1: is no JSON object"),
    "a JSON list cut off": (b'[{"user": 1, "item": 2},', "is no list of JSON objects"),
    "a JSON list of numbers": (b"[1, 2]", "row 1: is no JSON object"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_sentence_and_nothing_written(fault: str, tmp_path: Path) -> None:
    content, said = FAULTS[fault]
    reading = Reading(quotes=True) if "quote" in fault else Reading()
    with pytest.raises(DataError, match=said) as error:
        load(tmp_path, content, reading=reading)
    assert "\n" not in str(error.value)
    assert "d.csv" in str(error.value)
    assert not (tmp_path / "data").exists()
    assert not list((tmp_path / ".coldstart").rglob("*.*"))


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        (
            {"columns": {"user": "nobody"}},
            "no column 'nobody', which was to be the user; it has",
        ),
        ({"columns": {"user": "9"}}, "has no column '9', which was to be the user"),
        ({"columns": {"item": "none"}}, r"which column is the item\?"),
        (
            {"columns": {"rating": "user", "user": "item", "item": "rating"}},
            r"40 of 40 rows .*'user' the rating is no number",
        ),
        ({"reading": Reading(encoding="klingon")}, "klingon: Python knows no such encoding"),
        ({"reading": Reading(separator=";")}, "row 1: 'user,item.*' is not separated by ';'"),
        ({"time": "milliseconds", "columns": {"timestamp": "rating"}}, "a time before 1970"),
    ],
)
def test_a_wish_that_the_file_does_not_fulfil(
    wishes: dict[str, object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=said):
        load(tmp_path, CSV, **wishes)


def test_a_decimal_sign_that_is_none() -> None:
    with pytest.raises(ParamsError, match="--decimal ;: is"):
        Wishes(decimal=";")


def test_an_encoding_that_is_given_is_held_against_all_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 41: is not ascii"):
        load(tmp_path, CSV.replace("u4,i3,5", "ü,i3,5"), reading=Reading(encoding="ascii"))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.csv: there is no such file"):
        import_files([tmp_path / "none.csv"], root=tmp_path)
    with pytest.raises(DataError, match="is a folder; name the files in it"):
        import_files([tmp_path], root=tmp_path)


def test_most_rows_may_be_set_aside_if_a_person_says_so(tmp_path: Path) -> None:
    bad = CSV.replace(",1,16", ",bad,16")
    with pytest.raises(DataError, match=r"8 of 40 rows.*--max-aside 0\.2\b"):
        load(tmp_path, bad)
    assert load(tmp_path, bad, max_aside=0.2).rows == 32


def test_other_data_of_the_same_name_stays_until_a_person_says_so(tmp_path: Path) -> None:
    assert load(tmp_path, CSV).new
    assert not load(tmp_path, CSV).new
    before = (tmp_path / "data/d/d.inter").read_bytes()
    with pytest.raises(DataError, match="data/d: holds other data; give --replace"):
        load(tmp_path, with_row("new,i1,3,1600000000"))
    assert (tmp_path / "data/d/d.inter").read_bytes() == before
    assert load(tmp_path, with_row("new,i1,3,1600000000"), replace=True).new
    assert "new\ti1" in (tmp_path / "data/d/d.inter").read_text()
    assert not list((tmp_path / ".coldstart").glob("import-*"))


def test_a_name_that_is_no_folder(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user": ["a"], "item": ["b"]})
    with pytest.raises(DataError, match=r"--name '\.\./x': may hold letters"):
        import_frames(frame, name="../x", root=tmp_path)
