"""Values change in the text of params.yaml, and not one character beside them."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
import yaml

from coldstart.errors import ParamsError
from coldstart.params.editing import read, with_keys, with_section, with_values, write

COMMITTED = (Path(__file__).parents[2] / "params.yaml").read_text()
TEXT = """\
# first
seed: 0   # of all

algorithms:  # the learners
  # about maml
  maml: # nothing: here
    rate: 0.1      # per step
    "steps": 5 # of them
    adapt: head

  flow: {rate: 1.0, steps: 2}  # on one line

tuned: {}  # by machine
# about what follows
last: 1
"""


def _changed_lines(before: str, after: str) -> list[str]:
    diff = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line[2:] for line in diff if line.startswith(("+ ", "- "))]


def test_only_the_values_change() -> None:
    after = with_values(TEXT, ["algorithms", "maml"], {"steps": 12, "rate": 0.0345})
    assert after == TEXT.replace("rate: 0.1  ", "rate: 0.0345  ").replace(
        '"steps": 5', '"steps": 12'
    )


def test_a_mapping_on_one_line() -> None:
    after = with_values(TEXT, ["algorithms", "flow"], {"rate": 0.5})
    assert after == TEXT.replace("{rate: 1.0,", "{rate: 0.5,")


@pytest.mark.parametrize("value", [1e-05, 1e17, 3, 3.0, 0.00012, 123456.0])
def test_a_number_is_read_as_it_was_written(value: float) -> None:
    after = with_values(TEXT, ["algorithms", "maml"], {"rate": value})
    found = yaml.safe_load(after)["algorithms"]["maml"]["rate"]
    assert (found, type(found)) == (value, type(value))


def test_a_record_is_written_replaced_and_removed_in_its_place() -> None:
    record = {"algorithms": {"maml": {"trials": 4, "folds": [0, 1], "values": "1e5"}}}
    once = with_section(TEXT, "tuned", record)
    assert yaml.safe_load(once) == yaml.safe_load(TEXT) | {"tuned": record}
    assert "\n# about what follows\nlast: 1\n" in once
    twice = with_section(once, "tuned", record)
    assert twice == once
    assert with_section(once, "tuned", {}) == TEXT


def test_the_committed_file_keeps_every_other_line() -> None:
    before = yaml.safe_load(COMMITTED)
    after = with_values(COMMITTED, ["algorithms", "maml"], {"inner_rate": 0.987, "hidden": 77})
    assert len(_changed_lines(COMMITTED, after)) == 4
    before["algorithms"]["maml"] |= {"inner_rate": 0.987, "hidden": 77}
    assert yaml.safe_load(after) == before


@pytest.mark.parametrize(
    ("path", "said"),
    [(["algorithms", "maml"], r"algorithms\.maml\.typo"), (["typo", "maml"], r"params.yaml: typo")],
)
def test_a_missing_key_is_named(path: list[str], said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        with_values(TEXT, path, {"typo": 1})


def test_writing_keeps_line_ends_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(TEXT.replace("\n", "\r\n").encode())
    path.chmod(0o640)
    write(path, with_values(read(path), ["algorithms", "maml"], {"rate": 0.5}))
    assert (
        path.read_bytes() == TEXT.replace("rate: 0.1", "rate: 0.5").replace("\n", "\r\n").encode()
    )
    assert path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["params.yaml"]


LISTS = """\
prepare:
  folds: [0, 1]  # on one line
  shots:  # below each other
    - 0
    - 5
  # about what follows
  empty:
  nothing: null # yet
shared: &shared {a: 1}
again: *shared
"""


def test_keys_take_lists_mappings_and_nothing() -> None:
    after = with_keys(
        LISTS,
        {"prepare.folds": [2], "prepare.shots": [0, 1, 3], "prepare.empty": {"b": [2]}},
    )
    expected = LISTS.replace("[0, 1]", "[2]").replace("- 0\n    - 5", "[0, 1, 3]")
    expected = expected.replace("empty:", "empty: {b: [2]}")
    assert after == expected
    assert with_keys(LISTS, {"prepare.nothing": "a: b"}) == LISTS.replace("null", "'a: b'")


def test_an_alias_is_not_changed_from_two_sides() -> None:
    for key, value in {"again.a": 2, "shared.a": 2, "again": {"b": 2}}.items():
        with pytest.raises(ParamsError, match=f"{key} cannot be changed in place, since aliases"):
            with_keys(LISTS, {key: value})


def test_every_key_of_the_committed_file_can_be_set_to_what_it_is() -> None:
    keys: dict[str, object] = {}

    def collect(section: dict[str, object], path: str) -> None:
        for key, value in section.items():
            if isinstance(value, dict) and value:
                collect(value, f"{path}{key}.")
            else:
                keys[f"{path}{key}"] = value

    collect(yaml.safe_load(COMMITTED), "")
    after = with_keys(COMMITTED, keys)
    assert yaml.safe_load(after) == yaml.safe_load(COMMITTED)
    comments = [line.split("#", 1)[1] for line in COMMITTED.splitlines() if "#" in line]
    assert comments == [line.split("#", 1)[1] for line in after.splitlines() if "#" in line]
