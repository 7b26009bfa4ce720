"""Every unknown or out-of-range key is refused, by name, with what is allowed."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from coldstart.errors import ParamsError
from coldstart.params import Params, load_params, parse_section, read_yaml, resolve

ROOT = Path(__file__).parents[1]


@pytest.fixture
def raw() -> dict[str, Any]:
    return read_yaml(ROOT / "params.yaml")


def _sections(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths of all mappings that Params itself closes."""
    # checked by their owners, as overlays, or open to the names of methods
    owners = {"baselines", "algorithms", "combine", "effort", "tuned"}
    if not isinstance(value, dict):
        return []
    inner = [p for key, v in value.items() if key not in owners for p in _sections(v, (*path, key))]
    return [path, *inner]


def test_the_committed_file_is_valid() -> None:
    assert load_params(ROOT / "params.yaml").data.name == "ml-100k"


@pytest.mark.parametrize("effort", ["quick", "standard", "full"])
def test_every_effort_resolves(raw: dict[str, Any], effort: str) -> None:
    parse_section(Params, resolve(raw, effort), "params.yaml")


def test_standard_effort_is_the_file_itself(raw: dict[str, Any]) -> None:
    assert resolve(raw, "standard") == raw


@pytest.mark.parametrize("path", _sections(yaml.safe_load((ROOT / "params.yaml").read_text())))
def test_an_unknown_key_is_named_with_the_allowed_ones(
    raw: dict[str, Any], path: tuple[str, ...]
) -> None:
    section = raw
    for key in path:
        section = section[key]
    allowed = sorted(section)
    section["typo"] = 1
    dotted = ".".join((*path, "typo"))
    with pytest.raises(ParamsError, match="unknown key") as caught:
        parse_section(Params, raw, "params.yaml")
    assert f"params.yaml: {dotted}: unknown key" in str(caught.value)
    assert all(key in str(caught.value) for key in allowed)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("seed", -1, "greater than or equal to 0"),
        ("threads", 0, "greater than or equal to 1"),
        ("threads", "2", "valid integer"),
        ("device", "tpu", "'cpu' or 'cuda'"),
        ("head", "stars", "'rating', 'click' or 'ranking'"),
        ("data.name", "../etc", "match pattern"),
        ("data.like", 9.0, "min_rating < like <= max_rating"),
        ("data.max_rating", float("inf"), "finite number"),
        ("data.min_rating", float("nan"), "finite number"),
        ("gate.max_adapt_ms", float("inf"), "finite number"),
        ("data.min_rating", None, "both a number, or both null"),
        ("data.events", {"view": 0.1}, "events: is for data without ratings"),
        ("validate.max_unknown_items", 1.5, "less than or equal to 1"),
        ("validate.max_duplicate_share", 1.5, "less than or equal to 1"),
        ("prepare.split", "randm", "'random' or 'temporal'"),
        ("prepare.n_folds", 1, "greater than or equal to 2"),
        ("prepare.folds", [7], "below n_folds"),
        ("prepare.folds", [], "at least 1 item"),
        ("prepare.shots", [3, 1], "ascending"),
        ("prepare.min_ratings", 10, "at least query_size"),
        ("pretrain.backbone", "bert", "'mf', 'vbpmf', 'vbpmf_audience', 'two_tower' or 'deepfm'"),
        ("pretrain.mf.factors", 0, "greater than or equal to 1"),
        ("meta_train.algorithms", ["mamal"], "'mamal' is not one of"),
        ("meta_train.algorithms", ["maml", "maml"], "distinct"),
        ("meta_train.seeds", [300], "less than or equal to 127"),
        ("meta_train.loop.max_steps", 0, "greater than or equal to 1"),
        ("evaluate.resamples", 3, "greater than or equal to 100"),
        ("goal", "precision", "'list', 'rating' or 'click'"),
        ("goal", "click", "click does not go with head: rating"),
        ("gate.max_rating_loss", -1.0, "greater than or equal to 0"),
        ("meta_train.negatives.number", 3, "does not go with head: rating"),
    ],
)
def test_an_out_of_range_value_is_named_with_what_is_allowed(
    raw: dict[str, Any], key: str, value: Any, allowed: str
) -> None:
    with pytest.raises(ParamsError, match=r"params\.yaml") as caught:
        resolve(raw, "standard", {key: value})
    message = str(caught.value)
    assert key.rsplit(".", 1)[0] in message
    assert allowed in message


def test_without_ratings_only_likes_are_predicted(raw: dict[str, Any]) -> None:
    none = dict.fromkeys(("data.min_rating", "data.max_rating", "data.like"))
    with pytest.raises(ParamsError, match=r"head: rating needs ratings, and data\.min_rating is"):
        resolve(raw, "standard", none)
    with pytest.raises(ParamsError, match=r"negatives\.number: 0 leaves nothing that is not liked"):
        resolve(raw, "standard", {**none, "head": "click"})
    found = resolve(raw, "standard", {**none, "head": "click", "meta_train.negatives.number": 4})
    assert parse_section(Params, found, "").data.scale == (0.0, 1.0, 1.0)


@pytest.mark.parametrize("key", ["nothing", "prepare.nothing", "pretrain.mf.nothing"])
def test_an_unknown_override_is_refused(raw: dict[str, Any], key: str) -> None:
    with pytest.raises(ParamsError, match=f"{key}: unknown key; allowed here"):
        resolve(raw, "standard", {key: 1})


def test_an_unknown_effort_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(ParamsError, match=r"'huge' is not one of \['full', 'quick', 'standard'\]"):
        resolve(raw, "huge")


def test_an_unknown_key_in_an_effort_is_refused(raw: dict[str, Any]) -> None:
    raw["effort"]["quick"]["prepare"] = {"folsd": [0]}
    with pytest.raises(ParamsError, match=r"effort\.quick\.prepare\.folsd: unknown key"):
        resolve(raw, "quick")


def test_a_missing_key_is_named(raw: dict[str, Any]) -> None:
    del raw["prepare"]["shots"]
    with pytest.raises(ParamsError, match=r"prepare\.shots: is missing"):
        parse_section(Params, raw, "params.yaml")


def test_resolving_does_not_change_its_input(raw: dict[str, Any]) -> None:
    before = deepcopy(raw)
    resolve(raw, "full", {"prepare.folds": [1]})
    assert raw == before


@pytest.mark.parametrize(
    ("text", "said"),
    [("- a\n- b\n", "must hold a mapping"), ("a: [1\n", "cannot be read as YAML")],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=said) as caught:
        load_params(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="run this in the root of the project"):
        load_params(tmp_path / "params.yaml")
