"""A meta-gradient in parts is that of the whole batch; in bf16 it is close to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from coldstart.algorithms import ALGORITHMS
from coldstart.algorithms._base import MetaLearner, Theta
from coldstart.data.episodes import Episodes
from coldstart.errors import ParamsError
from coldstart.params import LoopParams, parse_section
from coldstart.training.micro_batches import batch_gradient
from coldstart.training.run import Run

Make = Callable[..., MetaLearner[Any]]
TRAINED = sorted(name for name, kind in ALGORITHMS.items() if kind.meta_trained)
LOOP = {
    "max_steps": 1,
    "batch_size": 7,
    "accumulate": 1,
    "precision": "float32",
    "query_size": 4,
    "max_support": 5,
    "eval_every": 1,
    "patience": 1,
    "clip_norm": 10.0,
    "checkpoint_every": 1,
}


def _loop(**changes: Any) -> LoopParams:
    return LoopParams(**LOOP | changes)


def _flat(theta: Theta) -> torch.Tensor:
    return torch.cat([theta[name].flatten() for name in sorted(theta)])


def _gradient(
    learner: MetaLearner[Any], episodes: Episodes, **changes: Any
) -> tuple[float, torch.Tensor]:
    loss, gradients = batch_gradient(learner, learner.theta, episodes, _loop(**changes))
    assert gradients.keys() == learner.theta.keys()
    assert all(gradients[name].dtype == value.dtype for name, value in learner.theta.items())
    return float(loss), _flat(gradients)


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("accumulate", [2, 7])  # 7 users: parts of 3 and 4, and of one each
def test_parts_have_the_gradient_of_the_whole(
    make: Make, make_episodes: Callable[..., Episodes], name: str, accumulate: int
) -> None:
    learner, episodes = (
        make(name, dtype=torch.float64),
        make_episodes(n_users=7, dtype=torch.float64),
    )
    loss, whole = _gradient(learner, episodes)
    loss_of_parts, parts = _gradient(learner, episodes, accumulate=accumulate)
    if learner.independent_users:
        assert loss_of_parts == pytest.approx(loss, rel=1e-12)
        torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-12)
    else:
        assert loss_of_parts != pytest.approx(loss, rel=1e-6), "declared dependent, but is not"


def test_one_part_is_the_learners_own_gradient_to_the_bit(make: Make, episodes: Episodes) -> None:
    learner = make("maml")
    loss, gradients = learner.meta_gradient(learner.theta, episodes)
    same_loss, same = _gradient(learner, episodes)
    assert same_loss == float(loss)
    assert torch.equal(same, _flat(gradients))


@pytest.mark.parametrize("name", TRAINED)
def test_bf16_stays_close_to_float32(make: Make, episodes: Episodes, name: str) -> None:
    learner = make(name)
    loss, exact = _gradient(learner, episodes)
    rounded_loss, rounded = _gradient(learner, episodes, precision="bf16")
    assert rounded_loss == pytest.approx(loss, rel=0.02)  # bfloat16 has 8 bits: 0.4% a rounding
    assert float(torch.cosine_similarity(rounded, exact, dim=0)) > 0.99
    if learner.mixed_precision:
        assert not torch.equal(rounded, exact), "nothing was rounded"
    else:
        assert torch.equal(rounded, exact)


def test_an_update_in_bf16_leaves_theta_in_float32(make: Make, episodes: Episodes) -> None:
    run = Run(make("maml"), _loop(precision="bf16", accumulate=2))
    run.advance(episodes, "maml")
    assert all(value.dtype == torch.float32 for value in run.theta.values())
    assert all(bool(value.isfinite().all()) for value in run.theta.values())


def test_more_parts_than_users_are_refused() -> None:
    with pytest.raises(ParamsError, match=r"accumulate: must be at most batch_size \(7\)"):
        parse_section(LoopParams, LOOP | {"accumulate": 8}, "meta_train.loop")
