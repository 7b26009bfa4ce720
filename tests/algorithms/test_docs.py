"""docs/algorithms.md: its example is registered and goes through the contract of all algorithms."""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml

from coldstart.algorithms import ALGORITHMS
from coldstart.algorithms._base import MetaLearner
from coldstart.combinations import COMBINATIONS
from coldstart.data.episodes import Episodes

from . import test_contract, test_contract_training

DOCS = Path(__file__).parents[2] / "docs" / "algorithms.md"
Make = Callable[..., MetaLearner[Any]]


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CONTRACT = {
    name: check
    for part in (test_contract, test_contract_training)
    for name, check in vars(part).items()
    if name.startswith("test_") and "name" in inspect.signature(check).parameters
}


def _block(language: str) -> str:
    (text,) = re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    return text  # type: ignore[no-any-return]


@pytest.fixture
def example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sections: dict[str, Any]
) -> type[MetaLearner[Any]]:
    """The algorithm of the page, registered as the page says."""
    (tmp_path / "example.py").write_text(_block("python"), encoding="utf-8")
    ((name, section),) = yaml.safe_load(_block("yaml")).items()
    (kind,) = (
        value
        for value in vars(_module(tmp_path / "example.py")).values()
        if inspect.isclass(value) and getattr(value, "kind", None) == name
    )
    monkeypatch.setitem(ALGORITHMS, name, kind)
    monkeypatch.setitem(sections, name, section)
    return kind  # type: ignore[no-any-return]


def test_adding_an_algorithm_takes_less_than_60_lines() -> None:
    assert len(_block("python").splitlines()) + len(_block("yaml").splitlines()) < 60


@pytest.mark.parametrize("check", sorted(CONTRACT))
@pytest.mark.parametrize("head", ["rating", "click"])
def test_the_example_keeps_the_contract(
    request: pytest.FixtureRequest, example: type[MetaLearner[Any]], check: str, head: str
) -> None:
    asked = inspect.signature(CONTRACT[check]).parameters
    if head == "click" and "head" not in asked:
        pytest.skip("this check does not depend on the head")
    given = {"name": example.kind, "head": head}
    CONTRACT[check](**{p: given[p] if p in given else request.getfixturevalue(p) for p in asked})


def test_the_example_does_what_it_says(
    example: type[MetaLearner[Any]], make: Make, episodes: Episodes
) -> None:
    learner, maml = make(example.kind), make("maml")
    _, gradients = learner.meta_gradient(learner.theta, episodes)
    assert gradients["logit"].abs() > 0
    shared = {name: learner.theta[name] for name in maml.theta}
    still = learner.with_theta(shared | {"logit": torch.tensor(-torch.inf)})
    expected = maml.with_theta(shared).adapt(episodes.support)
    for name, value in still.adapt(episodes.support).items():
        torch.testing.assert_close(value, expected[name])


@pytest.mark.parametrize(
    "name",
    sorted({*ALGORITHMS, *COMBINATIONS} - {"fomaml", "melu_published"}),  # in maml's, in melu's
)
def test_each_method_has_its_section(name: str) -> None:
    _, _, rest = DOCS.read_text(encoding="utf-8").partition(f"\n## {name}\n")
    body = rest.partition("\n## ")[0]
    for part in ("**Idea.**", "**Update.**", "**Changed.**", "**When.**"):
        assert body.count(part) == 1
