"""A record says how a section was chosen; an edit by hand afterwards is noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from coldstart.cli import app
from coldstart.errors import ParamsError
from coldstart.params import Params, Tuned, load_params, parse_section
from coldstart.tuning.record import digest_of, store, warnings


def _record(section: dict[str, Any], trials: int = 20) -> Tuned:
    return Tuned(
        trials=trials, folds=(0,), objective=0.95, study="0" * 12, values=digest_of(section)
    )


def _store(path: Path, group: str, name: str, trials: int = 20, **values: Any) -> None:
    section = yaml.safe_load(path.read_text())[group][name] | values
    store(path, group, name, values, _record(section, trials))


def _warnings(path: Path) -> list[str]:
    return warnings(load_params(path), yaml.safe_load(path.read_text()))


@pytest.fixture
def path(project: Path) -> Path:
    return project / "params.yaml"


def test_what_was_just_tuned_is_in_order(path: Path) -> None:
    _store(path, "algorithms", "maml", inner_rate=0.25)
    _store(path, "pretrain", "mf", item_penalty=7)
    _store(path, "baselines", "bias", item_damping=2.5)
    raw = yaml.safe_load(path.read_text())
    assert raw["algorithms"]["maml"]["inner_rate"] == 0.25
    assert list(raw["tuned"]) == ["algorithms", "pretrain", "baselines"]
    assert _warnings(path) == []


def test_a_section_that_was_edited_by_hand_is_reported(path: Path) -> None:
    _store(path, "algorithms", "maml", inner_rate=0.25)
    _store(path, "baselines", "bias", item_damping=2.5)
    path.write_text(path.read_text().replace("inner_rate: 0.25", "inner_rate: 0.26"))
    (line,) = _warnings(path)
    assert line.startswith("algorithms.maml: edited since it was tuned")

    said = CliRunner().invoke(app, ["params", "--check"])
    assert said.exit_code == 0
    assert said.stdout == ""
    assert said.stderr == f"warning: {line}\n"


def test_a_section_written_in_other_words_is_the_same() -> None:
    assert digest_of({"a": 5, "b": "x"}) == digest_of({"b": "x", "a": 5.0})
    assert digest_of({"a": 5}) != digest_of({"a": 5.1})
    assert digest_of({"a": True}) != digest_of({"a": 1})


def test_a_record_without_its_section_is_reported(path: Path) -> None:
    _store(path, "baselines", "ridge", factor_penalty=3.0)
    raw = yaml.safe_load(path.read_text())
    del raw["baselines"]["ridge"]
    path.write_text(yaml.safe_dump(raw))
    assert _warnings(path)[0].startswith("tuned.baselines.ridge: there is no section")


def test_unequal_budgets_are_reported_but_not_that_of_the_backbone(path: Path) -> None:
    _store(path, "pretrain", "mf", trials=7, item_penalty=7.0)
    _store(path, "baselines", "ridge", trials=20, factor_penalty=3.0)
    assert _warnings(path) == []
    _store(path, "algorithms", "maml", trials=40, inner_rate=0.2)
    (line,) = _warnings(path)
    assert "same budget: 20 trials on folds [0]: ridge; 40 trials on folds [0]: maml" in line


@pytest.mark.parametrize(
    ("tuned", "said"),
    [
        ({"typo": {}}, "tuned.typo"),
        ({"algorithms": {"maml": {"trials": 3}}}, "tuned.algorithms.maml.study: is missing"),
    ],
)
def test_a_record_that_is_none_is_refused(path: Path, tuned: dict[str, Any], said: str) -> None:
    raw = yaml.safe_load(path.read_text()) | {"tuned": tuned}
    with pytest.raises(ParamsError, match=said):
        parse_section(Params, raw, "params.yaml")


def test_a_value_that_comes_from_an_alias_is_not_changed_elsewhere(path: Path) -> None:
    text = path.read_text().replace("  maml:\n", "  maml: &shared\n")
    start = text.index("  fomaml:\n")
    end = text.index("  reptile:\n")
    path.write_text(text[:start] + "  fomaml: *shared\n" + text[end:])
    before = path.read_text()
    with pytest.raises(ParamsError, match="set it by hand"):
        _store(path, "algorithms", "fomaml", inner_rate=0.2)
    assert path.read_text() == before
