"""The unit of targets: what it is estimated from, and that it forgets the unit of the ratings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coldstart.data.prepared import Prepared
from coldstart.data.spare import spare_episodes
from coldstart.data.units import SPREAD, Unit, like_border

STARS = np.array([1.0, 2.0, 4.0, 4.0, 5.0])


def test_targets_have_mean_zero_and_the_spread_of_stars() -> None:
    targets = Unit.of(STARS).inside(torch.from_numpy(STARS)).double()
    assert float(targets.mean()) == pytest.approx(0, abs=1e-6)
    assert float(targets.std(correction=0)) == pytest.approx(SPREAD)


def test_there_and_back_again() -> None:
    unit = Unit.of(STARS)
    back = unit.outside(unit.inside(torch.from_numpy(STARS)))
    np.testing.assert_allclose(back, STARS, rtol=1e-6)
    assert float(unit.variance_outside(torch.tensor(2.0))) == pytest.approx(2 * unit.scale**2)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -3e7, 1e300])
def test_equal_ratings_are_only_centred(value: float) -> None:
    assert Unit.of(np.full(7, value)) == Unit(value, 1.0)


def test_what_differs_by_rounding_is_equal() -> None:
    assert Unit.of(np.array([0.3, 0.1 + 0.2, 0.3])).scale == 1.0


def test_huge_ratings_do_not_overflow() -> None:
    targets = Unit.of(STARS * 1e250).inside(torch.from_numpy(STARS * 1e250))
    torch.testing.assert_close(targets, Unit.of(STARS).inside(torch.from_numpy(STARS)))


@settings(deadline=None)
@given(st.floats(1e-6, 1e6), st.floats(-1e3, 1e3), st.integers(0, 1000))
def test_another_affine_unit_gives_the_same_targets(scale: float, shift: float, seed: int) -> None:
    """But for rounding: the shift is in units of the scale."""
    ratings = np.random.default_rng(seed).integers(1, 11, 50) / 2
    other = scale * (ratings + shift)
    torch.testing.assert_close(
        Unit.of(other).inside(torch.from_numpy(other)),
        Unit.of(ratings).inside(torch.from_numpy(ratings)),
        rtol=0,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("like", "border"), [(4.0, 3.0), (3.0, 3.0), (2.0, 1.5), (4.5, 4.5), (6.0, 6.5), (0.5, 0.5)]
)
def test_likes_begin_between_two_ratings_that_occur(like: float, border: float) -> None:
    """Ratings 1, 2, 4, 5; where one side is empty, its end of the scale from 0 to 8."""
    assert like_border(STARS, like, (0.0, 8.0)) == border


def test_the_border_parts_likes_from_the_rest(prepared: Prepared) -> None:
    history = prepared.history(0)
    liked = prepared.history_rows(0)["rating"].to_numpy() >= prepared.summary["like"]
    assert ((history.targets_R > history.like).numpy() == liked).all()


def test_the_unit_is_the_historical_users(prepared: Prepared) -> None:
    rows = prepared.history_rows(0)
    assert prepared.unit(0) == Unit.of(rows["rating"].to_numpy())
    others = ~prepared.ratings["user"].isin(rows["user"])
    raised = prepared.ratings.assign(
        rating=prepared.ratings["rating"].where(~others, prepared.ratings["rating"] + 3)
    )
    assert replace(prepared, ratings=raised).unit(0) == prepared.unit(0)


def test_everything_of_a_fold_is_in_its_unit(prepared: Prepared) -> None:
    centre, scale = prepared.unit(1)
    stars = {(star - centre) / scale for star in (1, 2, 3, 4, 5)}
    episodes = prepared.eval_episodes(1, "cold")
    spare = spare_episodes(prepared, 1)
    for targets in (
        prepared.history(1).targets_R,
        episodes.targets_BQ,
        episodes.support.targets_BS,
        spare.targets_BQ[spare.mask_BQ],
    ):
        found = targets.unique().tolist()
        assert all(min(abs(value - star) for star in stars) < 1e-6 for value in found)


@pytest.mark.parametrize("head", ["click", "ranking"])
def test_likes_stay_as_they_are(prepared: Prepared, head: str) -> None:
    asked = replace(prepared, summary=prepared.summary | {"head": head})
    assert asked.unit(0) == Unit(0.0, 1.0)
    assert asked.history(0).like == 0.5
