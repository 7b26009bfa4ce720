"""Every declared range is one that its owner accepts and that holds the committed value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from pydantic import Field

from coldstart.algorithms import ALGORITHMS
from coldstart.baselines import BASELINES
from coldstart.errors import ParamsError
from coldstart.models.backbones import BACKBONES
from coldstart.params import Section, load_params, search
from coldstart.tuning.space import Range, present, space_of, suggest
from coldstart.tuning.target import find_target

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
METHODS = {name: PARAMS.baselines[name] for name in BASELINES if name in PARAMS.baselines}
METHODS |= {name: PARAMS.algorithms[name] for name in ALGORITHMS if name in PARAMS.algorithms}
OWNERS = {name: kind.Params for name, kind in (*BASELINES.items(), *ALGORITHMS.items())}


class Example(Section):
    size: int = Field(ge=1, json_schema_extra=search(2, 64, log=True))
    rate: float = Field(gt=0, json_schema_extra=search(1e-4, 1.0, log=True))
    share: float = Field(ge=0, json_schema_extra=search(0, 0.5))
    fixed: float = Field(gt=0)


def test_only_fields_with_a_range_are_tuned() -> None:
    assert space_of(Example) == {
        "size": Range(2, 64, log=True, integer=True),
        "rate": Range(1e-4, 1.0, log=True, integer=False),
        "share": Range(0, 0.5, log=False, integer=False),
    }


@pytest.mark.parametrize("name", [name for name in METHODS if space_of(OWNERS[name])])
def test_a_method_starts_inside_its_ranges_and_accepts_their_ends(name: str) -> None:
    target = find_target(name, PARAMS)
    assert target.start == {key: METHODS[name][key] for key in target.space}
    for end in ("low", "high"):
        values = {k: getattr(r, end) for k, r in target.space.items()}
        target.at({k: int(v) if target.space[k].integer else float(v) for k, v in values.items()})


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_a_backbone_starts_inside_its_ranges_and_accepts_their_ends(backbone: str) -> None:
    chosen = PARAMS.pretrain.model_copy(update={"backbone": backbone})
    target = find_target("backbone", PARAMS.model_copy(update={"pretrain": chosen}))
    assert target.where == f"pretrain.{backbone}"
    assert set(target.start) == set(target.space)
    for end in ("low", "high"):
        values = {k: getattr(r, end) for k, r in target.space.items()}
        target.at({k: int(v) if target.space[k].integer else float(v) for k, v in values.items()})


def test_suggestions_lie_inside_and_have_three_digits() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen: list[dict[str, Any]] = []
    for _ in range(300):
        trial = study.ask()
        seen.append(suggest(trial, space_of(Example)))
        study.tell(trial, 0.0)
    for name, (low, high, _, integer) in space_of(Example).items():
        values = [setting[name] for setting in seen]
        assert low <= min(values) < max(values) <= high
        assert {type(v) for v in values} == {int if integer else float}
    rates = sorted(setting["rate"] for setting in seen)
    assert rates == [float(f"{rate:.3g}") for rate in rates]
    assert 2e-3 < rates[150] < 5e-2, "the middle of a log range is its geometric mean, 1e-2"


def test_a_start_outside_the_range_is_refused_by_name() -> None:
    section = {"size": 2, "rate": 5.0, "share": 0.0, "fixed": 1.0}
    with pytest.raises(ParamsError, match=r"algorithms\.x\.rate: 5\.0 lies outside 0\.0001 to 1"):
        present(space_of(Example), section, "algorithms.x")


@pytest.mark.parametrize("name", ["nothing", "mf"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ParamsError, match=f"{name}: not a section.*backbone.*bias.*maml"):
        find_target(name, PARAMS)


def test_a_method_without_numbers_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"baselines\.constant: none of its fields"):
        find_target("constant", PARAMS)
