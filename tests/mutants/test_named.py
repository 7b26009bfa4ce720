"""The named mutants lie in code that changes: each must still find its place."""

from __future__ import annotations

from tests.mutants.mutant import ROOT
from tests.mutants.named import named_mutants


def test_every_named_change_finds_its_place_and_its_tests() -> None:
    mutants = named_mutants()
    assert len(mutants) > 20
    for mutant in mutants:
        assert all((ROOT / test.split("::")[0]).exists() for test in mutant.tests)
