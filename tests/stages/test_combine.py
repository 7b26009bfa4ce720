"""What a run can make follows from its params; the same inputs give the same bytes."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

import distil
from coldstart import layout
from coldstart.combinations import check_params, possible
from coldstart.data.prepared import Prepared
from coldstart.errors import ParamsError
from coldstart.evaluation import leaderboard as board
from coldstart.methods import fitted_methods, load_method
from coldstart.params import Params, load_params, parse_section
from coldstart.stages import evaluate
from coldstart.stages.combine import MADE_OF, run
from lists_asked import assert_unjudged, lists_asked

from .test_evaluate import project  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]


def _digests() -> dict[str, str]:
    files = [path for path in sorted(layout.COMBINATIONS.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.usefixtures("project")
def test_bundles_load_and_repeat() -> None:
    before = _digests()
    run()
    assert _digests() == before
    made_of = json.loads((layout.COMBINATIONS / MADE_OF).read_text())
    assert made_of["student"] == ["list"]
    found = [m for m in fitted_methods(load_params(), 1) if m.name in made_of]
    assert [(m.name, m.seed) for m in found] == [(n, s) for n in made_of for s in (0, 1)]
    assert {load_method(m.folder).kind for m in found} == {"blend", "list", "student"}


@pytest.mark.usefixtures("project")
def test_lists_leave_out_what_evaluation_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked, params, prepared = lists_asked(monkeypatch), load_params(), Prepared.load()
    monkeypatch.setattr(layout, "COMBINATIONS", tmp_path / "combinations")
    run()
    runs = [fold for fold in params.prepare.folds for _ in params.meta_train.seeds]
    for fold, lists in zip(runs, asked, strict=True):
        assert_unjudged(lists, prepared, fold)


@pytest.mark.usefixtures("project")
def test_what_cannot_be_made_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    raw = yaml.safe_load(layout.PARAMS.read_text())
    raw["combine"]["blend"]["members"] = ["bayes_head", "maml"]
    text = yaml.safe_dump(raw)
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.setattr(layout, "PARAMS", tmp_path / "params.yaml")
    monkeypatch.setattr(layout, "COMBINATIONS", tmp_path / "combinations")
    with caplog.at_level(logging.WARNING):
        run()
    assert [path.name for path in layout.COMBINATIONS.iterdir()] == [MADE_OF]
    assert "blend is left out" in caplog.text
    assert "student is left out" in caplog.text


@pytest.mark.usefixtures("project")
def test_the_benchmark_says_what_the_leaderboard_says() -> None:
    evaluate.run()
    table = board.read_table(board.TABLE).query("metric == 'rmse'").set_index(["method", "k"])
    found = distil.results(rounds=1, terms=False)
    for role, name in (("teacher", "list"), ("student", "student")):
        for k, error in found["rmse"][role].items():
            assert error == pytest.approx(table.loc[(name, int(k)), "mean"])
    assert found["ratio"] > 0
    assert distil.table(found).row_count == 3


def _params(**changes: Any) -> Params:
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name, section in changes.items():
        raw["combine"][name] = raw["combine"].get(name, {}) | section
    return parse_section(Params, raw, "params.yaml")


def test_members_are_those_that_are_fitted() -> None:
    params = _params(blend={"members": ["leo", "ridge", "bayes_head"]})
    assert possible(params)["blend"] == ("ridge", "bayes_head")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"mean": {}},
            "combine.mean: unknown combination; allowed here: average, blend, list, student",
        ),
        ({"blend": {"member": []}}, "combine.blend: member: unknown key"),
        ({"blend": {"members": ["ridge", "rigde"]}}, "combine.blend: 'rigde' is no method"),
        ({"blend": {"members": ["ridge", "student"]}}, "combine.blend: 'student' is no method"),
        (
            {"average": {"of": "finetune"}},
            "of: 'finetune' is not allowed: is not meta-trained",
        ),
        (
            {"average": {"of": "ridge"}},
            "of: 'ridge' is not allowed: is not meta-trained",
        ),
        ({"student": {"factors": 0}}, "combine.student: factors: 0 is not allowed"),
    ],
)
def test_a_wrong_section_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError) as caught:
        check_params(_params(**changes))
    assert message in str(caught.value)
