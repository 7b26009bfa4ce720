"""Regret by hand: two seeds, three methods."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import regret
from coldstart.evaluation.summary import Candidate, Summary
from coldstart.params import load_params

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")


def written(folder: Path, chosen: str, **levels: float) -> Path:
    summary = Summary(
        dataset="tiny", split="random", head="rating", goal="list", seed=0, training_seeds=(0,),
        folds=(0,), shots=(0, 5), query_size=5, like=4.0, n_users={"cold": 3}, methods=(*levels,),
        canary_methods=(), candidate=Candidate(method=chosen, fold=0, seed=0),
        evaluate=PARAMS.evaluate, canaries=(), data={},
    )  # fmt: skip
    folder.mkdir()
    summary.save(folder)
    table = pd.Series(levels, name="mean").rename_axis("method")
    table.to_csv(folder / regret.LEVELS)
    return folder


@pytest.fixture
def found(tmp_path: Path) -> pd.DataFrame:
    """``b`` is best over both seeds (.35), though ``a`` is ahead in the first."""
    one = written(tmp_path / "0", "a", a=0.44, b=0.40, popularity=0.20)
    two = written(tmp_path / "1", "a", a=0.18, b=0.30, popularity=0.30)
    return regret.regrets([one, two]).set_index(["choice", "seed"])


def test_the_best_is_one_method_for_all_seeds(found: pd.DataFrame) -> None:
    assert set(found.loc["best", "method"]) == {"b"}
    assert found.loc["best", "regret"].tolist() == [0, 0]


def test_regret_is_a_share_of_the_best_on_the_same_users(found: pd.DataFrame) -> None:
    assert found.loc["chosen", "regret"].tolist() == pytest.approx([-0.1, 0.4])
    assert found.loc["always popularity", "regret"].tolist() == pytest.approx([0.5, 0.0])


def test_a_coin_toss_costs_the_mean(found: pd.DataFrame) -> None:
    assert found.loc["coin toss", "regret"].tolist() == pytest.approx([0.4 / 3, 0.4 / 3])


def test_the_page_counts_what_is_much(found: pd.DataFrame, tmp_path: Path) -> None:
    text = regret.page(found.reset_index(), Summary.load(tmp_path / "0"))
    assert "| chosen | 15.00% | 40.00% | 1 of 2 |" in text
    assert "`a` 2 times" in text
