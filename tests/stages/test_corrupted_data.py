"""Every corruption of the data is refused with a message that names the fault."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from coldstart.errors import DataError, ValidationFailed
from coldstart.stages import validate

from .corrupting import Corrupt, cell, column, content, lines, remove, without

READ, EXPECT = DataError, ValidationFailed


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


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption_is_refused(project: Path, name: str) -> None:
    corrupt, kind, message = CORRUPTIONS[name]
    corrupt(project / "data" / "tiny")
    with pytest.raises(DataError) as refused:
        validate.run()
    assert type(refused.value) is kind, str(refused.value)
    assert re.search(message, str(refused.value)), str(refused.value)
    assert not (project / "artifacts/validation.json").exists()
