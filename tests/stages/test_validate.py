"""What validated data is, what is told of it to whom, and the limits of ``params.yaml``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from coldstart.data.sources import SUFFIXES, folder_digest, read_source
from coldstart.errors import DataError, ParamsError, ValidationFailed
from coldstart.stages import validate

from .corrupting import cell, content, lines


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
