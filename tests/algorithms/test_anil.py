from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from coldstart.algorithms import check_section
from coldstart.algorithms._base import MetaLearner
from coldstart.algorithms._network import subset
from coldstart.data.episodes import Episodes
from coldstart.errors import ParamsError

Make = Callable[..., MetaLearner[Any]]
Directional = Callable[..., tuple[float, float]]


def test_the_body_is_unchanged_by_adaptation_and_learns_all_the_same(
    make: Make, episodes: Episodes
) -> None:
    learner = make("anil")
    state = learner.adapt(episodes.support)
    assert set(state) == {"skip_1D", "w3_H1", "b3_11", "users_B1F"}
    rated_B = episodes.support.mask_BS.any(1)
    for name in subset("head"):
        moved_B = (state[name] != learner.theta[name]).flatten(1).any(1)
        assert torch.equal(moved_B, rated_B)
    _, gradients = learner.meta_gradient(learner.theta, episodes)
    for name in set(learner.theta) - set(subset("head")):
        assert gradients[name].abs().max() > 1e-6, name


def test_gradient_equals_finite_differences(
    make: Make, make_episodes: Callable[..., Episodes], directional: Directional
) -> None:
    learner = make("anil", dtype=torch.float64, hidden=8, inner_steps=3)
    for seed in range(3):
        analytic, numeric = directional(learner, make_episodes(dtype=torch.float64), seed)
        assert analytic == pytest.approx(numeric, rel=1e-5, abs=1e-6)


def test_it_is_maml_of_the_head(make: Make, episodes: Episodes) -> None:
    anil, maml = make("anil", inner_rate=0.05), make("maml", inner_rate=0.05, adapt="head")
    ours, theirs = (each.meta_gradient(each.theta, episodes)[1] for each in (anil, maml))
    for name, gradient in theirs.items():
        assert torch.equal(ours[name], gradient)


def test_nothing_else_can_be_adapted(make: Make) -> None:
    section = make("anil").params.model_dump()
    with pytest.raises(ParamsError, match=r"algorithms\.anil: adapt.*'head'"):
        check_section("anil", section | {"adapt": "all"})
