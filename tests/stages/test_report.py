"""The report: one file, the same bytes, nothing fetched, every method in it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from coldstart import layout
from coldstart.errors import ArtefactError
from coldstart.reporting.page import STAMP
from coldstart.stages import evaluate
from coldstart.stages.report import run

from .test_evaluate import NAMES, project  # noqa: F401 - a fixture


@pytest.fixture
def page(project: Path) -> str:  # noqa: F811
    if not layout.METRICS.exists():
        evaluate.run()
    layout.VALIDATION.write_text(json.dumps({"suites": {"ratings": [{}, {}]}}))
    run()
    return layout.REPORT.read_text(encoding="utf-8")


def test_the_same_results_give_the_same_bytes(page: str) -> None:
    run()
    assert layout.REPORT.read_text(encoding="utf-8") == page


def test_it_needs_no_other_file(page: str) -> None:
    assert not re.search(r"https?://|<script|<link|@import|url\((?!#)", page)


def test_it_is_well_formed_and_ids_are_unique(page: str) -> None:
    class Checker(HTMLParser):
        open: list[str] = []  # noqa: RUF012
        ids: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.ids += [value for name, value in attrs if name == "id" and value]
            if tag not in {"meta", "input", "br"}:
                self.open.append(tag)

        def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.ids += [value for name, value in attrs if name == "id" and value]

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert len(checker.ids) == len(set(checker.ids))


def test_there_is_one_place_for_the_stamp(page: str) -> None:
    assert page.count(STAMP) == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_method_is_on_the_board(page: str, name: str) -> None:
    assert f"</span>{name}</th>" in page


@pytest.mark.parametrize("part", ["sweep", "leaderboard", "pairs", "canaries", "data"])
def test_every_part_is_there(page: str, part: str) -> None:
    assert f'<section id="{part}">' in page


def test_names_from_the_data_are_escaped(page: str) -> None:
    raw = yaml.safe_load(layout.PARAMS.read_text())
    summary = layout.EVALUATION / "summary.json"
    before = summary.read_text()
    try:
        summary.write_text(before.replace('"dataset": "tiny"', '"dataset": "<b>tiny"'))
        run()
        assert "<b>tiny" not in layout.REPORT.read_text(encoding="utf-8")
    finally:
        summary.write_text(before)
    assert raw["data"]["name"] == "tiny"


@pytest.mark.usefixtures("page")
def test_the_markdown_board_has_a_row_per_method() -> None:
    """But for the canaries, which are no methods to choose from."""
    lines = layout.LEADERBOARD.read_text(encoding="utf-8").splitlines()
    honest = [name for name in NAMES if name not in ("random", "constant")]
    assert [line.split(" | ")[0].strip("| ") for line in lines[2 : 2 + len(honest)]] == honest
    assert len({line.count("|") for line in lines[: 2 + len(honest)]}) == 1


def test_without_results_it_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_text(
        (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtefactError, match="run `dvc repro evaluate` first"):
        run()
