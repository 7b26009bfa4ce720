"""What is held against what: results made to order, whose differences are known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch

from coldstart import layout
from coldstart.data.everyone import marks
from coldstart.evaluation.gate import Check
from coldstart.evaluation.leaderboard import SEGMENTS, USERS
from coldstart.evaluation.summary import Candidate as Chosen
from coldstart.evaluation.summary import Summary
from coldstart.params import Params, load_params
from coldstart.registry.champion import Champion
from coldstart.registry.decision import Candidate
from coldstart.registry.hearing import Hearing

ROOT = Path(__file__).parents[2]
COLD = range(20, 50)
CANDIDATE = Candidate(method="new", fold=0, seed=0, recipe="r", proof_sha256="p", sha256="s")


def rows(method: str, recall: float, users: range = COLD, **where: Any) -> pd.DataFrame:
    """Per-user results of a method that does equally well for everybody."""
    keys = {"method": method, "fold": 0, "seed": 0, "role": "cold"} | where
    parts = [
        pd.DataFrame({**keys, "user": users, "k": k, "list_recall@10": recall, "mse": 1.0})
        for k in (0, 5)
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def params() -> Params:
    base = load_params(ROOT / "params.yaml")
    quick = base.evaluate.model_copy(update={"resamples": 100, "min_segment": 5})
    return base.model_copy(update={"goal": "list", "head": "rating", "evaluate": quick})


@pytest.fixture
def heard(tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch) -> Hearing:
    """Recall of the candidate is .5 and .75 by seed, of popularity .25, and of another method 0.

    The candidate was evaluated on other users of another fold, too, and all on validation users.
    """
    monkeypatch.chdir(tmp_path)
    results = [
        rows("other", 0.0),
        rows("new", 0.5),
        rows("new", 0.75, seed=1),
        rows("new", 0.0, range(60, 70), fold=1),
        rows("popularity", 0.25),
        *(rows(name, 1.0, range(10), role="validation") for name in ("new", "popularity")),
    ]
    layout.EVALUATION.mkdir(parents=True)
    pd.concat(results).to_parquet(layout.EVALUATION / USERS)
    segments = pd.DataFrame({"user": range(70), "gender": ["F", "M"] * 35})
    segments.to_parquet(layout.EVALUATION / SEGMENTS)
    Summary(
        dataset="tiny", split="random", head="rating", goal="list", seed=0, training_seeds=(0, 1),
        folds=(0, 1), shots=(0, 5), query_size=5, like=4.0, n_users={"cold": 30}, methods=("new",),
        canary_methods=(), candidate=Chosen(method="new", fold=0, seed=0),
        evaluate=params.evaluate, canaries=(), data={},
    ).save(layout.EVALUATION)  # fmt: skip
    users = pd.DataFrame({"key": [f"u{n}" for n in range(70)]})
    nothing: Any = None
    prepared: Any = SimpleNamespace(users=users)
    return Hearing(CANDIDATE, nothing, prepared, params)


def serving(recall: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on every version that is served finds this share of the likes of the cold users."""
    cold_B = torch.tensor(COLD)
    cold = SimpleNamespace(episodes=SimpleNamespace(users_B=cold_B), rows=lambda at: cold_B[at])

    def served(hearing: Hearing, version: object, target: Any) -> pd.DataFrame:
        users = COLD if target is cold else range(int(target[0]), int(target[-1]) + 1)
        return rows("served", recall, users)

    monkeypatch.setattr(Hearing, "_cold", cold)
    monkeypatch.setattr(Hearing, "_served", served)


def test_the_first_is_held_against_the_reference_by_all_its_seeds(heard: Hearing) -> None:
    """Half of .5 and .75, less .25, on the users of the fold that both were evaluated in."""
    kind, against, found = heard._compare(None)
    assert (kind, against) == ("first", "popularity")
    assert found.evidence["difference"] == {"mean": 0.375, "low": 0.375, "high": 0.375}
    assert found.evidence["n_users"] == len(COLD)
    assert not found.evidence["champion"]
    assert {row["gain"] for row in found.evidence["segments"]} == {0.375}
    assert {row["n_users"] for row in found.evidence["segments"]} == {15}


def test_a_challenger_is_held_against_the_recipe_of_the_champion(
    heard: Hearing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hearing, "_results_of", lambda hearing, recipe: rows("mine", 1.0))
    kind, against, found = heard._compare(_champion(range(70)))
    assert (kind, against) == ("challenge", "old v1")
    assert found.evidence["difference"]["mean"] == -0.375
    assert found.evidence["champion"]


def _champion(known: range) -> Any:
    """One of another recipe, learnt from some of the users."""
    recipe, version = SimpleNamespace(method="old", digest="d"), SimpleNamespace(version="1")
    fields: Any = (version, None, recipe, marks([f"u{n}" for n in known]), None)
    return Champion(*fields)


@pytest.mark.parametrize(("recall", "gain"), [(0.25, -0.25), (0.5, 0.0), (0.75, 0.25)])
def test_what_ships_may_not_be_worse_than_its_proof(
    heard: Hearing, recall: float, gain: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its proof is the one bundle that was chosen, whose recall is .5."""
    serving(recall, monkeypatch)
    check = heard._shipped()
    assert (check.value, check.passed) == (gain, gain >= 0)


@pytest.mark.parametrize(("recall", "gain"), [(0.25, 0.25), (0.5, 0.0), (0.75, -0.25)])
def test_a_refresh_may_not_be_worse_than_what_is_served_to_new_users(
    heard: Hearing, recall: float, gain: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve cold users are new to the champion, from the 38th user on."""
    serving(recall, monkeypatch)
    (check, *guards) = heard._refresh(_champion(range(38)))
    assert (check.value, check.passed) == (gain, gain >= 0)
    assert "for 12 users" in check.text
    assert all(guard.passed for guard in guards)


@pytest.mark.parametrize(("n_new", "compared"), [(4, False), (5, True)])
def test_a_refresh_asks_as_many_new_users_as_a_segment_needs(
    heard: Hearing, n_new: int, compared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving(0.75, monkeypatch)
    check: Check = heard._refresh(_champion(range(50 - n_new)))[0]
    assert check.passed is not compared
    assert ("not applicable" in check.text) is not compared
