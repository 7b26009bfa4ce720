"""What the gate asks of a product and of its data, from results made to order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from coldstart.errors import GateError
from coldstart.evaluation.gate import Contest, Rules
from coldstart.evaluation.refresh import SIGMAS, agreement, as_served, shipped
from coldstart.evaluation.turned import Turned

from .test_gate import EVALUATE, GATE

RULES = Rules("list", GATE, EVALUATE, seed=0)
N = 100
NOISE = np.random.default_rng(1).normal(0, 0.05, N)


def contest(gain: float, worse: float = 0.0) -> Contest:
    """Lists that are better by ``gain`` on average, squared errors larger by ``worse``."""
    noise = NOISE - NOISE.mean()
    sides = {"new": (0.3 + gain + noise, 1.0 + worse), "old": (0.3 + 0 * noise, 1.0)}
    rows = [
        pd.DataFrame({"method": m, "user": range(N), "k": 5, "list_recall@10": v, "mse": e})
        for m, (v, e) in sides.items()
    ]
    return Contest("new", "old", True, pd.concat(rows), pd.DataFrame({"user": range(N)}))


@pytest.mark.parametrize(
    ("gain", "passes"), [(0.1, True), (0.0, True), (-0.005, True), (-0.02, False)]
)
def test_a_refresh_may_be_level_but_not_surely_worse(gain: float, passes: bool) -> None:
    """The standard error is .005: -.005 may be luck, -.02 is not."""
    check, guard = as_served(contest(gain), RULES, N)
    assert check.passed is passes
    assert check.limit == 0
    assert guard.passed


def test_a_refresh_may_not_lose_its_ratings() -> None:
    _, guard = as_served(contest(0.1, worse=0.03), RULES, N)
    assert (guard.name, guard.passed) == ("rmse", False)


def test_too_few_new_users_decide_nothing() -> None:
    (check,) = as_served(None, RULES, 3)
    assert check.passed
    assert check.text == "not applicable: 3 users are new to both, 20 are needed"


@pytest.mark.parametrize(
    ("gain", "worse", "passes"), [(0.05, 0.0, True), (-0.02, 0.0, False), (0.05, 0.03, False)]
)
def test_what_ships_is_no_worse_than_its_proof(gain: float, worse: float, passes: bool) -> None:
    check = shipped(contest(gain, worse), RULES)
    assert (check.name, check.passed, check.limit) == ("shipped", passes, 0)
    assert ("rmse over all K" in check.text) is (worse > 0)


def test_other_users_are_no_comparison() -> None:
    whole = contest(0.1)
    fewer = whole.rows[(whole.rows["method"] == "new") | (whole.rows["user"] > 3)]
    with pytest.raises(GateError, match="evaluated on different users"):
        shipped(replace(whole, rows=fewer), RULES)


OLD = Turned(share=0.03, error=0.008, n_users=120, variance=0.9)


@pytest.mark.parametrize(
    ("share", "passes"), [(0.0, True), (0.03, True), (0.05, True), (0.1, False)]
)
def test_new_ratings_contradict_as_often_as_others_do(share: float, passes: bool) -> None:
    check = agreement(Turned(share, 0.006, 100, 0.9), OLD, RULES)
    assert check.passed is passes
    assert check.value == pytest.approx(share - 0.03)


def test_chance_is_allowed_for() -> None:
    """By hand: .03 + .02 + 2.33 * sqrt(.006^2 + .008^2) = .0733."""
    limit = 0.03 + GATE.max_turned + SIGMAS * 0.01
    assert agreement(Turned(limit - 1e-6, 0.006, 100, 0.9), OLD, RULES).passed
    refused = agreement(Turned(limit + 1e-6, 0.006, 100, 0.9), OLD, RULES)
    assert not refused.passed
    assert refused.text == (
        "7.3% of the ratings of 100 users who are new to the champion look turned round, of its "
        "cold users 3.0%; at most 2.0% more are allowed, beyond chance (2.3%): look into the "
        "newest ratings before they are learnt from"
    )


@pytest.mark.parametrize(
    ("new", "known"), [(None, OLD), (Turned(0.9, 0.01, 19, 0.9), OLD), (OLD, None)]
)
def test_few_newcomers_or_none_decide_nothing(new: Turned | None, known: Turned | None) -> None:
    check = agreement(new, known, RULES)
    assert check.passed
    assert check.text.startswith("not applicable")


def test_as_many_newcomers_as_are_asked_for_decide() -> None:
    check = agreement(Turned(0.9, 0.01, EVALUATE.min_segment, 0.9), OLD, RULES)
    assert not check.passed
