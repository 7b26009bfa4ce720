"""Choices of validation users: asked once, kept beside a bundle, repeated afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart.data.choices import CHOSEN, Choices, choose, part
from coldstart.data.episodes import Episodes
from coldstart.data.prepared import Prepared
from coldstart.errors import ArtefactError


@pytest.fixture(scope="module")
def validation(prepared: Prepared) -> Episodes:
    return prepared.eval_episodes(0, "validation")


def test_who_validates_is_asked_and_remembered(validation: Episodes) -> None:
    asked: list[Episodes] = []

    def how(episodes: Episodes) -> int:
        asked.append(episodes)
        return len(asked)

    choices = Choices(validation)
    assert choose(choices, "steps", how) == 1
    assert choose(validation, "steps", how) == 2  # without choices nothing is kept
    assert [one is validation for one in asked] == [True, True]
    assert choices.made == {"steps": 1}
    assert choose(Choices(made=choices.made), "steps", how) == 1
    assert len(asked) == 2


def test_nobody_is_left_to_be_asked() -> None:
    made = Choices(made={"scale": 2.0})
    with pytest.raises(ArtefactError, match=r"'steps' was not chosen .* only scale; run `dvc"):
        choose(made, "steps", lambda episodes: 1)


def test_a_part_has_choices_of_its_own(validation: Episodes) -> None:
    choices = Choices(validation, judged_BX=validation.items_BQ)
    one, other = choices.part("a"), choices.part("b")
    choose(one, "steps", lambda episodes: 1)
    choose(other, "steps", lambda episodes: 2)
    assert choices.made == {"a": {"steps": 1}, "b": {"steps": 2}}
    assert one.validation is validation
    assert one.judged_BX is validation.items_BQ
    assert choose(Choices(made=choices.made).part("b"), "steps", lambda episodes: 3) == 2
    assert part(validation, "a") is validation


def test_what_was_chosen_is_kept_to_the_last_bit(tmp_path: Path) -> None:
    made = {"scale": 0.1 + 0.2, "weights": [1 / 3, 2.0], "member": {"steps": 4}}
    Choices(made=made).save(tmp_path)
    found = Choices.load(tmp_path)
    assert found.made == made
    assert found.validation is None


def test_the_order_of_choosing_changes_no_byte(tmp_path: Path) -> None:
    files = []
    for made in ({"a": 1, "b": 2}, {"b": 2, "a": 1}):
        Choices(made=made).save(tmp_path)
        files.append((tmp_path / CHOSEN).read_bytes())
    assert files[0] == files[1] == b'{"a": 1, "b": 2}\n'


def test_what_is_no_number_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Choices(made={"scale": float("nan")}).save(tmp_path)


def test_a_bundle_without_choices_is_said(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"chosen\.json: .*run `dvc repro`"):
        Choices.load(tmp_path)
    (tmp_path / CHOSEN).write_text("{")
    with pytest.raises(ArtefactError, match="run `dvc repro`"):
        Choices.load(tmp_path)
