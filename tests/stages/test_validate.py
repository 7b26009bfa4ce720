"""Every corruption of the data is refused with a message that names the fault."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from coldstart.data.sources import SUFFIXES, folder_digest, read_source
from coldstart.errors import DataError, ParamsError, ValidationFailed
from coldstart.stages import validate

Corrupt = Callable[[Path], object]
READ, EXPECT = DataError, ValidationFailed


def lines(suffix: str, change: Callable[[list[str]], list[str]]) -> Corrupt:
    """Rewrite the lines of a file, the header included."""

    def corrupt(folder: Path) -> None:
        path = folder / f"tiny.{suffix}"
        path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")

    return corrupt


def content(suffix: str, change: Callable[[bytes], bytes]) -> Corrupt:
    """Rewrite the bytes of a file."""

    def corrupt(folder: Path) -> None:
        path = folder / f"tiny.{suffix}"
        path.write_bytes(change(path.read_bytes()))

    return corrupt


def cell(suffix: str, line: int, column: int, value: str) -> Corrupt:
    """Set one field; ``line`` counts from 1, the header included."""

    def change(rows: list[str]) -> list[str]:
        fields = rows[line - 1].split("\t")
        fields[column] = value
        return [*rows[: line - 1], "\t".join(fields), *rows[line:]]

    return lines(suffix, change)


def column(suffix: str, index: int, change: Callable[[str], str]) -> Corrupt:
    """Change every value of a column."""

    def corrupt(rows: list[str]) -> list[str]:
        split = [row.split("\t") for row in rows[1:]]
        return [rows[0]] + [
            "\t".join([*f[:index], change(f[index]), *f[index + 1 :]]) for f in split
        ]

    return lines(suffix, corrupt)


def without(suffix: str, index: int) -> Corrupt:
    """Take a column out."""
    return lines(
        suffix,
        lambda rows: [
            "\t".join(v for i, v in enumerate(r.split("\t")) if i != index) for r in rows
        ],
    )


def remove(suffix: str) -> Corrupt:
    return lambda folder: (folder / f"tiny.{suffix}").unlink()


def one_star_less(rating: str) -> str:
    return str(max(1, int(rating) - 1))


CORRUPTIONS: dict[str, tuple[Corrupt, type[DataError], str]] = {
    "missing column": (
        without("inter", 1),
        READ,
        r"tiny\.inter, line 1: column item_id:token is missing; found user_id, rating, timestamp",
    ),
    "renamed column": (
        content("inter", lambda b: b.replace(b"rating:float", b"stars:float", 1)),
        READ,
        r"tiny\.inter, line 1: column rating:float is missing; found .*stars",
    ),
    "column of the user table missing": (
        without("user", 2),
        EXPECT,
        r"accepted +expect_column_values_to_be_null +changed_schema .*column users\.gender is gone",
    ),
    "wrong type in the header": (
        content("inter", lambda b: b.replace(b"rating:float", b"rating:token", 1)),
        READ,
        r"tiny\.inter, line 1: column 'rating' has type token, must be float",
    ),
    "wrong type of a value": (
        cell("inter", 7, 2, "good"),
        READ,
        r"tiny\.inter, line 7, column 'rating': 'good' is not a number",
    ),
    "rating above the scale": (
        cell("inter", 9, 2, "6"),
        EXPECT,
        r"ratings +expect_column_values_to_be_between +rating +1 of \d+ rows +6\.0 \(line 9\)",
    ),
    "rating below the scale": (
        cell("inter", 9, 2, "0"),
        EXPECT,
        r"ratings +expect_column_values_to_be_between +rating +1 of \d+ rows +0\.0 \(line 9\)",
    ),
    "infinite rating": (
        cell("inter", 9, 2, "inf"),
        EXPECT,
        r"ratings +expect_column_values_to_be_between +rating +1 of \d+ rows +inf \(line 9\)",
    ),
    "NaN rating": (
        cell("inter", 9, 2, "nan"),
        EXPECT,
        r"ratings +expect_column_values_to_not_be_null +rating +1 of \d+ rows",
    ),
    "null user id": (
        cell("inter", 3, 0, ""),
        EXPECT,
        r"ratings +expect_column_values_to_not_be_null +user_id +1 of \d+ rows",
    ),
    "null item id": (
        cell("inter", 3, 1, ""),
        EXPECT,
        r"ratings +expect_column_values_to_not_be_null +item_id +1 of \d+ rows",
    ),
    "missing timestamp": (
        cell("inter", 3, 3, ""),
        EXPECT,
        r"ratings +expect_column_values_to_not_be_null +timestamp +1 of \d+ rows",
    ),
    "duplicate row": (
        lines("inter", lambda rows: [*rows, rows[5]]),
        EXPECT,
        r"expect_compound_columns_to_be_unique +user_id, item_id, timestamp +2 of \d+ .*line 6",
    ),
    "many ratings repeated later": (
        lines(
            "inter",
            lambda rows: [*rows, *(f"{r[:-1]}{(int(r[-1]) + 1) % 10}" for r in rows[1:1500])],
        ),
        EXPECT,
        r"expect_column_mean_to_be_between +repeats_earlier +observed 0\.\d+, allowed at most 0",
    ),
    "unknown item": (
        cell("inter", 4, 1, "i9999"),
        EXPECT,
        r"rated_items +expect_column_values_to_be_null +unknown_item +1 of 61 .*i9999 \(line 4\)",
    ),
    "unknown user": (
        lines("user", lambda rows: [rows[0], *rows[2:]]),
        EXPECT,
        r"rated_users +expect_column_values_to_be_null +unknown_user +1 of 120 .*user of line 2",
    ),
    "user listed twice": (
        lines("user", lambda rows: [*rows, rows[3]]),
        EXPECT,
        r"users +expect_column_values_to_be_unique +user_id +2 of \d+ rows",
    ),
    "item listed twice": (
        lines("item", lambda rows: [*rows, rows[3]]),
        EXPECT,
        r"items +expect_column_values_to_be_unique +item_id +2 of \d+ rows +i2 \(line 4\)",
    ),
    "link to an unknown entity": (
        cell("link", 4, 1, "nothing"),
        EXPECT,
        r"link +expect_column_values_to_be_null +unknown_entity +1 of \d+ rows +nothing \(line 4\)",
    ),
    "truncated in a line": (
        content("inter", lambda b: b[: b.rindex(b"\t")]),
        READ,
        r"tiny\.inter, line \d+: has 3 fields separated by tabs, expected 4; the file is truncated",
    ),
    "truncated, with a line end": (
        content("inter", lambda b: b[: b.rindex(b"\t")] + b"\n"),
        READ,
        r"tiny\.inter, line \d+: has 3 fields separated by tabs, expected 4; the file is truncated",
    ),
    "in parts": (
        lambda folder: [
            (folder / "tiny.inter").rename(folder / "tiny.part1.inter"),
            (folder / "tiny.part2.inter").write_text("user_id:token\n"),
        ],
        READ,
        r"tiny\.inter: not found but its parts tiny\.part1\.inter, tiny\.part2\.inter; join them",
    ),
    "empty file": (content("inter", lambda b: b""), READ, r"tiny\.inter: is empty"),
    "empty item table": (content("item", lambda b: b""), READ, r"tiny\.item: is empty"),
    "header only": (
        lines("inter", lambda rows: rows[:1]),
        READ,
        r"tiny\.inter: has a header but no rows",
    ),
    "no header": (
        lines("inter", lambda rows: rows[1:]),
        READ,
        r"tiny\.inter, line 1: header field 'u0' is not NAME:TYPE",
    ),
    "wrong encoding": (
        content("item", lambda b: b.replace(b"Title 5\t", "Amélie\t".encode("latin-1"))),
        READ,
        r"tiny\.item, line 7: is not UTF-8 \(byte 0xe9\); wrong encoding",
    ),
    "UTF-16": (
        content("inter", lambda b: b.decode().encode("utf-16")),
        READ,
        r"tiny\.inter, line 1: starts with a byte order mark",
    ),
    "byte order mark": (
        content("inter", lambda b: b"\xef\xbb\xbf" + b),
        READ,
        r"tiny\.inter, line 1: starts with a byte order mark; save as UTF-8 without it",
    ),
    "Windows line ends": (
        content("inter", lambda b: b.replace(b"\n", b"\r\n")),
        READ,
        r"tiny\.inter, line 1: has a carriage return; save with LF line ends",
    ),
    "zeros of a damaged disk": (
        content("inter", lambda b: b[:500] + b"\0" * 50 + b[550:]),
        READ,
        r"tiny\.inter, line \d+: has a NUL byte; the file is damaged",
    ),
    "mixed separators": (
        lines("inter", lambda rows: [*rows[:11], rows[11].replace("\t", ","), *rows[12:]]),
        READ,
        r"tiny\.inter, line 12: has 1 fields .*, expected 4; it seems to be separated by ','",
    ),
    "another separator throughout": (
        content("inter", lambda b: b.replace(b"\t", b",")),
        READ,
        r"tiny\.inter, line 1: header field 'user_id:token,item_id:token.* separated by tabs",
    ),
    "a field too many": (
        lines("inter", lambda rows: [*rows[:11], rows[11] + "\t5", *rows[12:]]),
        READ,
        r"tiny\.inter, line 12: has 5 fields separated by tabs, expected 4",
    ),
    "timestamp in the future": (
        cell("inter", 20, 3, "1900000000"),
        EXPECT,
        r"_be_between +timestamp +1 of \d+ rows +1900000000\.0 \(line 20\)\n +No timestamp in the",
    ),
    "milliseconds for seconds": (
        column("inter", 3, lambda value: f"{value}000"),
        EXPECT,
        r"_be_between +timestamp +(\d+) of \1 rows .*\n +Timestamps are seconds since 1970",
    ),
    "a tenth of the volume": (
        lines("inter", lambda rows: [rows[0], *rows[1::10]]),
        EXPECT,
        r"expect_column_min_to_be_between +volume_ratio +observed 0\.1\d*, allowed at least 0\.5",
    ),
    "nothing that is liked": (
        column("inter", 2, lambda rating: str(min(3, int(rating)))),
        EXPECT,
        r"max_to_be_between +rating +observed 3, allowed at least 4\n +Somebody likes something",
    ),
    "shifted rating distribution": (
        column("inter", 2, one_star_less),
        EXPECT,
        r"expect_column_max_to_be_between +distribution_shift +observed 0\.\d+, allowed at most",
    ),
    "no ratings file": (
        remove("inter"),
        READ,
        r"tiny\.inter: not found .*get the data with `coldstart fetch`",
    ),
    "no dataset at all": (
        shutil.rmtree,
        READ,
        r"data/tiny/tiny\.inter: not found; get the data with `coldstart fetch`",
    ),
    "user table gone": (remove("user"), EXPECT, r"changed_schema .*table users is gone"),
    "graph without links": (remove("link"), READ, r"tiny\.link: not found, but tiny\.kg needs it"),
}


def test_the_data_itself_passes(project: Path) -> None:
    validate.run()
    first = (project / "artifacts/validation.json").read_bytes()
    found = json.loads(first)
    assert found["digest"] == folder_digest(project / "data/tiny")
    assert set(found["suites"]) == {
        *("ratings", "users", "items", "kg", "link", "rated_items", "rated_users", "accepted")
    }
    assert (project / "home/data-docs/tiny/index.html").is_file()
    assert (project / "expectations/great_expectations.yml").read_bytes() == (
        Path(__file__).parents[2] / "expectations/great_expectations.yml"
    ).read_bytes()
    validate.run()
    assert (project / "artifacts/validation.json").read_bytes() == first


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption_is_refused(project: Path, name: str) -> None:
    corrupt, kind, message = CORRUPTIONS[name]
    corrupt(project / "data" / "tiny")
    with pytest.raises(DataError) as refused:
        validate.run()
    assert type(refused.value) is kind, str(refused.value)
    assert re.search(message, str(refused.value)), str(refused.value)
    assert not (project / "artifacts/validation.json").exists()


def test_columns_of_any_name_are_checked_apart(project: Path) -> None:
    names = ("line", "change", "index", "repeats_earlier", "unknown_item", "unknown_user", "level")
    for suffix in SUFFIXES:
        more = [[f"{name}:token" for name in names], ["x" for _ in names]]
        lines(
            suffix,
            lambda rows, more=more: ["\t".join([row, *more[n > 0]]) for n, row in enumerate(rows)],
        )(project / "data" / "tiny")
    validate.run()
    cell("inter", 9, 2, "6")(project / "data" / "tiny")
    with pytest.raises(ValidationFailed, match=r"rating +1 of \d+ rows +6\.0 \(line 9\)"):
        validate.run()


def test_the_last_line_needs_no_line_end(project: Path) -> None:
    read = read_source(project / "data" / "tiny", "tiny")
    for suffix in SUFFIXES:
        content(suffix, lambda b: b.removesuffix(b"\n"))(project / "data" / "tiny")
    again = read_source(project / "data" / "tiny", "tiny")
    for name, table in read.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table)


def test_no_personal_value_is_shown(project: Path) -> None:
    folder = project / "data" / "tiny"
    cell("user", 5, 0, "u-secret-1")(folder)
    cell("inter", 9, 2, "7")(folder)
    lines("inter", lambda rows: [*rows, rows[5]])(folder)
    lines("user", lambda rows: [*rows, rows[4]])(folder)
    with pytest.raises(ValidationFailed) as refused:
        validate.run()
    shown = str(refused.value) + "".join(
        p.read_text() for p in (project / "home/data-docs").rglob("*.html")
    )
    assert "u-secret-1" not in shown
    assert not re.search(r"\bu\d+\b", str(refused.value))


def test_number_of_the_user_table_is_not_shown(project: Path) -> None:
    folder = project / "data" / "tiny"
    content("user", lambda b: b.replace(b"age:token", b"age:float", 1))(folder)
    cell("user", 5, 1, "ninety")(folder)
    with pytest.raises(DataError, match=r"tiny\.user, line 5, column 'age'") as refused:
        validate.run()
    assert "ninety" not in str(refused.value)


def test_changed_bytes_are_held_against_the_pin(project: Path) -> None:
    pinned = {p.name: "0" * 32 for p in (project / "data/tiny").iterdir()}
    pinned["tiny.inter"] = "1" * 32
    (project / "data.dvc").write_text(yaml.safe_dump({"meta": {"datasets": {"tiny": pinned}}}))
    with pytest.raises(DataError, match=r"tiny\.inter differs \(MD5 [0-9a-f]{32}, pinned 1{32}\)"):
        validate.run()


def test_a_new_dataset_says_what_was_not_checked(project: Path) -> None:
    (project / "expectations/accepted/tiny.json").unlink()
    validate.run()
    text = (project / "artifacts/validation.json").read_text()
    assert "no data of this name was accepted yet" in text
    assert "skipped: validate.as_of is null and no data was accepted yet" in text
    accepted = validate.accept()
    assert accepted == Path("expectations/accepted/tiny.json")
    validate.run()
    assert "skipped: validate.as_of" not in (project / "artifacts/validation.json").read_text()


def _set(project: Path, **limits: object) -> None:
    raw = yaml.safe_load((project / "params.yaml").read_text())
    raw["validate"] |= limits
    (project / "params.yaml").write_text(yaml.safe_dump(raw))


@pytest.mark.parametrize(
    ("key", "suffix", "n_absent", "n"),
    [
        ("max_unknown_items", "item", 6, 60),
        ("max_unknown_users", "user", 12, 120),
        ("max_unknown_entities", "kg", 6, 54),
    ],
)
def test_a_share_may_be_unknown(
    project: Path, key: str, suffix: str, n_absent: int, n: int
) -> None:
    """A tenth of the items, say: the share is that of items, however often each was rated."""
    number = re.compile(r"\b[iue](\d+)\b")

    def absent(row: str) -> bool:
        found = number.search(row)
        return found is not None and int(found[1]) % 10 == 1

    lines(suffix, lambda rows: [row for row in rows if not absent(row)])(project / "data/tiny")
    (project / "expectations/accepted/tiny.json").unlink()
    _set(project, **{key: (n_absent - 0.5) / n})
    with pytest.raises(ValidationFailed, match=rf"{n_absent} of {n} rows(.|\n)*validate\.{key}"):
        validate.run()
    _set(project, **{key: n_absent / n})
    if suffix == "item":
        _set(project, max_unknown_items=6 / 54)  # six are linked, of 54
    validate.run()


def test_stale_data_is_refused(project: Path) -> None:
    _set(project, as_of="2018-06-01", max_age_days=30.0)
    with pytest.raises(ValidationFailed, match=r"expect_column_max_to_be_between +timestamp"):
        validate.run()


def test_as_of_must_be_a_day(project: Path) -> None:
    _set(project, as_of="yesterday")
    with pytest.raises(ParamsError, match=r"validate\.as_of: 'yesterday' is not a day"):
        validate.run()


def test_command_line_exits_with_the_message(project: Path) -> None:
    cell("inter", 9, 2, "6")(project / "data" / "tiny")
    done = subprocess.run(
        [sys.executable, "-m", "coldstart", "validate"], capture_output=True, text=True, check=False
    )
    assert done.returncode == DataError.exit_code, done.stderr
    assert "expect_column_values_to_be_between" in done.stderr
    assert "Traceback" not in done.stderr
