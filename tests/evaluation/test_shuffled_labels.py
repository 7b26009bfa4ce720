"""The canary of shuffled labels: silent where no label is true, loud where a quarter are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from coldstart.data.units import Unit
from coldstart.errors import EvaluationError
from coldstart.evaluation import canaries, shuffled_labels
from coldstart.evaluation.metrics import METRICS
from coldstart.evaluation.protocol import EvaluationSet
from coldstart.evaluation.shuffled_labels import check_shuffled, shuffled, shuffled_gains

from .conftest import Fixed

MSE = METRICS["rmse"]
SHOTS = (0, 1, 5, 10)
TASTES = Fixed(torch.full((61,), 3.0), adapts=True)
"""Knows no item, and adapts to how high a user rates."""


def of_users(target: EvaluationSet, level_B: torch.Tensor, noise: float) -> EvaluationSet:
    """The same users again and again, who rate around a level of their own."""
    index = torch.arange(len(level_B)) % target.n_users
    generator = torch.Generator().manual_seed(0)

    def ratings(items: torch.Tensor) -> torch.Tensor:
        return level_B[:, None] + noise * torch.randn(items.shape, generator=generator)

    episodes = target.episodes.rows(index)
    support = episodes.support._replace(targets_BS=ratings(episodes.support.items_BS))
    targets_BQ = ratings(episodes.items_BQ)
    return replace(
        target.rows(index),
        episodes=episodes._replace(
            support=support, targets_BQ=targets_BQ, users_B=torch.arange(len(index))
        ),
        ratings_BQ=targets_BQ,
        unit=Unit(),
    )


@pytest.fixture(scope="module")
def levels(cold: EvaluationSet) -> EvaluationSet:
    """150 users around 3, with a standard deviation of .7 between and .7 within them."""
    level_B = 3 + 0.7 * torch.randn(150, generator=torch.Generator().manual_seed(1))
    return of_users(cold, level_B, noise=0.7)


def leak(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a shuffle leaves a share of the labels where they were."""

    def leaky(target: EvaluationSet, seed: int) -> EvaluationSet:
        true_BS, false_BS = (
            t.episodes.support.targets_BS for t in (target, shuffled(target, seed))
        )
        generator = torch.Generator().manual_seed(seed)
        kept_BS = torch.rand(true_BS.shape, generator=generator) < share
        support = target.episodes.support._replace(targets_BS=true_BS.where(kept_BS, false_BS))
        return replace(target, episodes=target.episodes._replace(support=support))

    monkeypatch.setattr(shuffled_labels, "shuffled", leaky)


@pytest.mark.parametrize("n_users", [2, 3, 40])
def test_nobody_keeps_their_labels_and_none_is_lost(cold: EvaluationSet, n_users: int) -> None:
    target = cold.rows(torch.arange(n_users) % cold.n_users)
    support = target.episodes.support
    own_BS = torch.arange(n_users)[:, None].expand(support.items_BS.shape).float()
    support = support._replace(targets_BS=own_BS)
    target = replace(target, episodes=target.episodes._replace(support=support))
    for seed in range(20):
        once = shuffled(target, seed)
        twice = shuffled_labels._passed_on(once, seed)
        for passed_on in (once, twice) if n_users > 2 else (once,):
            labels_BS = passed_on.episodes.support.targets_BS
            assert (labels_BS != own_BS).all()
            assert sorted(labels_BS[:, 0].tolist()) == list(range(n_users))
        assert (twice.episodes.support.targets_BS != once.episodes.support.targets_BS).all()
        assert torch.equal(once.episodes.support.items_BS, support.items_BS)
        assert torch.equal(once.episodes.targets_BQ, target.episodes.targets_BQ)


def test_labels_of_others_do_not_help(levels: EvaluationSet) -> None:
    for seed in range(5):
        check = check_shuffled("m", shuffled_gains(TASTES, levels, SHOTS, MSE, seed), MSE)
        assert check.ok
        assert "of the labels are true" in check.note


@pytest.mark.parametrize("metric", ["rmse", "mae"])
def test_a_quarter_of_true_labels_is_caught(
    levels: EvaluationSet, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    leak(0.25, monkeypatch)
    for seed in range(5):
        gains = shuffled_gains(TASTES, levels, SHOTS, METRICS[metric], seed)
        check = check_shuffled("m", gains, METRICS[metric])
        assert not check.ok
    with pytest.raises(EvaluationError, match=r"shuffled labels \(m\): \w+ gain over all K is"):
        canaries.require([check])


def test_a_leak_gains_its_share_of_what_honest_labels_gain(
    levels: EvaluationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    leak(0.5, monkeypatch)
    gains = shuffled_gains(TASTES, levels, SHOTS, MSE, 0)
    # true labels also agree with each other, so wrong ones do a little less harm
    assert gains["shuffled"].mean() / gains["honest"].mean() == pytest.approx(0.55, abs=0.05)


def test_gains_are_over_the_same_harm(cold: EvaluationSet) -> None:
    """Two levels, no noise: the error of a method that moves to the mean label is known."""
    level_B = torch.tensor([2.0, 4.0]).repeat(10)
    target = of_users(cold, level_B, noise=0.0)
    gains = shuffled_gains(TASTES, target, (0, 1), MSE, 0)
    # at K=1 it moves by a third: own labels leave (2/3)^2, the other level's (4/3)^2
    own, wrong = 4 / 9, 16 / 9
    harm = (level_B.numpy(), gains["honest"].to_numpy() + own)
    assert len(gains) == 20
    for value in harm[1]:  # a mean over the circles, in each of which the label fits or does not
        unfit = shuffled_labels.SHUFFLES * (value - own) / (wrong - own)
        assert unfit == pytest.approx(round(unfit), abs=1e-4)
    assert 0 < gains["honest"].mean() < wrong - own


@pytest.mark.parametrize(
    ("spread", "noise"), [(0.0, 1.0), (0.0, 0.0)], ids=["as good as random", "constant"]
)
def test_where_labels_say_nothing_it_says_that_it_has_no_power(
    cold: EvaluationSet, spread: float, noise: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    level_B = 3 + spread * torch.randn(100, generator=torch.Generator().manual_seed(2))
    leak(1.0, monkeypatch)
    target = of_users(cold, level_B, noise)
    check = check_shuffled("m", shuffled_gains(TASTES, target, SHOTS, MSE, 0), MSE)
    assert check.ok
    assert check.note.startswith("no power")
    assert check.expected == 0


def test_a_method_that_does_not_adapt_has_nothing_to_leak(levels: EvaluationSet) -> None:
    gains = shuffled_gains(Fixed(torch.linspace(1, 5, 61)), levels, SHOTS, METRICS["auc"], 0)
    assert (gains[["honest", "shuffled"]].dropna() == 0).all(axis=None)
    assert check_shuffled("m", gains, METRICS["auc"]).note.startswith("no power")


def test_the_list_has_a_canary_too(cold: EvaluationSet) -> None:
    gains = shuffled_gains(TASTES, cold, SHOTS, METRICS["list_recall@10"], 0)
    assert gains["honest"].notna().any()


@pytest.mark.parametrize("shots", [(0,), (0, 5)])
def test_two_users_are_too_few(cold: EvaluationSet, shots: tuple[int, ...]) -> None:
    target = cold.rows(slice(0, 2)) if 5 in shots else cold
    check = check_shuffled("m", shuffled_gains(TASTES, target, shots, MSE, 0), MSE)
    assert (check.ok, check.note) == (True, "no power: too few users")
    assert (check.value, check.expected, check.limit) == (0, 0, 0)


def test_a_t_test_takes_two_users() -> None:
    gains = pd.DataFrame({"user": [0, 1], "honest": [1.0, 1.01], "shuffled": [0.1, -0.1]})
    check = check_shuffled("m", gains, MSE)
    assert check.limit == pytest.approx(stats.t.ppf(0.999, 1) * 0.1)
    assert check.note.startswith("honest labels gain 1.005")
    alone = check_shuffled("m", gains[:1], MSE)
    assert alone.note == "no power: too few users"


def test_the_limit_is_that_of_a_t_test_over_users() -> None:
    """Users who are in two folds count once."""
    rng = np.random.default_rng(0)
    honest, gain = 1 + 0.1 * rng.normal(size=(2, 30)), 0.1 * rng.normal(size=(2, 30))
    gains = pd.DataFrame(
        {"user": [*range(30)] * 2, "honest": honest.ravel(), "shuffled": gain.ravel()}
    )
    check = check_shuffled("m", gains, MSE)
    mean = gain.mean(0)
    error = mean.std(ddof=1) / 30**0.5
    assert check.value == pytest.approx(mean.mean())
    assert check.limit == pytest.approx(stats.t.ppf(0.999, 29) * error)
    notices = (stats.t.ppf(0.999, 29) + stats.t.ppf(0.95, 29)) * error / honest.mean()
    assert f"if {notices:.0%} of" in check.note
    more = gains.assign(shuffled=gains["shuffled"] - mean.mean() + check.limit)
    assert check_shuffled("m", more.assign(shuffled=more["shuffled"] - 1e-6), MSE).ok
    assert not check_shuffled("m", more.assign(shuffled=more["shuffled"] + 1e-6), MSE).ok
