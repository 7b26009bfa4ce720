"""A stage's result depends on code; DVC must know which, or it would restore a stale result."""

from __future__ import annotations

from pathlib import Path

import grimp
import pytest
import yaml

ROOT = Path(__file__).parents[1]
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# Cannot change a result: what goes wrong, where files lie, what is shown, and the parsing of values
# that DVC compares one by one.
NEUTRAL = {
    "coldstart",
    "coldstart.environment",
    "coldstart.errors",
    "coldstart.layout",
    "coldstart.progress",
    *(
        f"coldstart.params.{path.stem}"
        for path in (ROOT / "src/coldstart/params").glob("[a-z]*.py")
    ),
    "coldstart.params",
    "coldstart.stages",
}


def _file(module: str) -> Path:
    path = Path("src", *module.split("."))
    return path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("coldstart", cache_dir=None)


@pytest.mark.parametrize("stage", sorted(DVC))
def test_every_module_that_a_stage_imports_is_among_its_dependencies(
    graph: grimp.ImportGraph, stage: str
) -> None:
    definition = DVC[stage].get("do", DVC[stage])
    declared = [Path(dep) for dep in definition["deps"]]
    imported = graph.find_upstream_modules(f"coldstart.stages.{stage}") - NEUTRAL
    missing = sorted(
        module
        for module in imported
        if not any(_file(module).is_relative_to(dep) for dep in declared)
    )
    assert not missing, f"dvc.yaml: stage {stage}: add the files of {missing} to its deps"


@pytest.mark.parametrize("stage", sorted(DVC))
def test_a_stage_imports_from_each_of_its_dependencies(
    graph: grimp.ImportGraph, stage: str
) -> None:
    """Another one would only recompute what cannot have changed."""
    definition = DVC[stage].get("do", DVC[stage])
    own = f"coldstart.stages.{stage}"
    files = [_file(module) for module in {own, *graph.find_upstream_modules(own)}]
    idle = [
        dep
        for dep in definition["deps"]
        if dep.startswith("src/") and not any(file.is_relative_to(dep) for file in files)
    ]
    assert not idle, f"dvc.yaml: stage {stage}: imports nothing from {idle}; leave them out"
