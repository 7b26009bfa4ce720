"""What the gate asks of a product and of its data, from results made to order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from coldstart.evaluation.gate import Contest, Rules
from coldstart.evaluation.refresh import (
    SIGMAS,
    Moments,
    agreement,
    as_served,
    errors_by_shots,
    shipped,
)

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
    assert shipped(contest(gain, worse), RULES).passed is passes


OLD = {5: Moments(0.9, 0.2, 100), 20: Moments(0.8, 0.16, 100)}


@pytest.mark.parametrize(("times", "passes"), [(1.0, True), (1.1, True), (0.5, True), (1.4, False)])
def test_errors_on_newcomers_are_those_that_are_known(times: float, passes: bool) -> None:
    check = agreement({20: Moments(0.8 * times, 0.16, 100)}, OLD, RULES)
    assert check.passed is passes
    assert check.value == pytest.approx(times)


def test_chance_is_allowed_for() -> None:
    """By hand: 1.1 * .8 + 2.33 * sqrt(.0016 + 1.21 * .0016) = 1.0186."""
    limit = 1.1 * 0.8 + SIGMAS * np.sqrt(0.16 / 100 + 1.1**2 * 0.16 / 100)
    assert limit == pytest.approx(1.0186, abs=1e-4)
    assert agreement({20: Moments(limit - 1e-6, 0.16, 100)}, OLD, RULES).passed
    assert not agreement({20: Moments(limit + 1e-6, 0.16, 100)}, OLD, RULES).passed


def test_the_largest_common_k_is_read() -> None:
    """At K=5 the errors are twice as large, but K=20 says more; 50 was not measured before."""
    new = {5: Moments(1.8, 0.1, 50), 20: Moments(0.8, 0.1, 50), 50: Moments(9.0, 0.1, 50)}
    assert agreement(new, OLD, RULES).passed
    assert not agreement({5: new[5]}, OLD, RULES).passed


@pytest.mark.parametrize("new", [{}, {20: Moments(9.0, 0.1, 19)}, {3: Moments(9.0, 0.1, 99)}])
def test_few_newcomers_or_none_decide_nothing(new: dict[int, Moments]) -> None:
    check = agreement(new, OLD, RULES)
    assert check.passed
    assert check.text.startswith("not applicable")


def test_moments_are_over_users() -> None:
    users = pd.DataFrame(
        {"user": [0, 0, 1, 1], "k": [5, 5, 5, 5], "seed": [0, 1, 0, 1], "mse": [1.0, 3.0, 4.0, 4.0]}
    )
    assert errors_by_shots(users, "rating") == {5: Moments(3.0, 2.0, 2)}
    assert errors_by_shots(users, "ranking") == errors_by_shots(users, "click") == {}
