"""Lists of mutants lie beside code that changes: each must still find its place."""

from __future__ import annotations

from tests.mutants.__main__ import listed_as_same
from tests.mutants.mutant import ROOT
from tests.mutants.named import named_mutants
from tests.mutants.seeded import all_mutants


def test_every_named_change_finds_its_place_and_its_tests() -> None:
    mutants = named_mutants()
    assert len(mutants) > 20
    for mutant in mutants:
        assert all((ROOT / test.split("::")[0]).exists() for test in mutant.tests)


def test_every_change_that_is_said_to_change_nothing_is_one_that_may_be_drawn() -> None:
    assert listed_as_same() <= {mutant.name for mutant in all_mutants()}
