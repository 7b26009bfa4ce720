"""What holds for the meta-gradient of every meta-learner, and for every subset that adapts."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from coldstart.algorithms import ALGORITHMS
from coldstart.data.episodes import Episodes

from .contract import NAMES, TOLERANCE, Make, padded, targets_of


@NAMES
def test_padding_changes_no_meta_gradient(make: Make, episodes: Episodes, name: str) -> None:
    """Neither of the support nor of the query, whatever lies under the mask."""
    learner = make(name)
    loss, gradients = learner.meta_gradient(learner.theta, episodes)
    actual, found = learner.meta_gradient(learner.theta, padded(episodes))
    torch.testing.assert_close(actual, loss, **TOLERANCE)
    for key, gradient in gradients.items():
        torch.testing.assert_close(found[key], gradient, **TOLERANCE)


@NAMES
def test_training_on_users_without_support(make: Make, episodes: Episodes, name: str) -> None:
    learner = make(name)
    nothing = episodes._replace(support=episodes.support.first(0))
    loss, gradients = learner.meta_gradient(learner.theta, nothing)
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients.values())


@NAMES
def test_meta_gradient_covers_theta_and_repeats(make: Make, episodes: Episodes, name: str) -> None:
    learner = make(name)
    loss, gradients = learner.meta_gradient(learner.theta, episodes)
    again, gradients_again = learner.meta_gradient(learner.theta, episodes)
    assert torch.equal(loss, again)
    assert loss.isfinite()
    assert gradients.keys() == learner.theta.keys()
    for key, gradient in gradients.items():
        assert gradient.shape == learner.theta[key].shape
        assert torch.equal(gradient, gradients_again[key])


@NAMES
@pytest.mark.parametrize("head", ["click", "ranking"])
def test_sampled_negatives_in_the_query(
    make: Make, episodes: Episodes, name: str, head: str
) -> None:
    learner = make(name, head=head)
    likes = episodes._replace(
        support=targets_of(episodes, head), targets_BQ=(episodes.targets_BQ >= 4).float()
    )
    draws_BQ = torch.tensor([0.0, 0.0, 0.7, 2.0]).expand(episodes.n_users, -1)
    sampled = likes._replace(
        targets_BQ=likes.targets_BQ.masked_fill(draws_BQ > 0, 0.0), draws_BQ=draws_BQ
    )
    loss, gradients = learner.meta_gradient(learner.theta, sampled)
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients.values())


@NAMES
def test_the_same_seed_gives_the_same_start(make: Make, name: str) -> None:
    start, again = make(name, noise=0.0).theta, make(name, noise=0.0).theta
    assert start.keys() == again.keys()
    assert all(torch.equal(value, again[key]) for key, value in start.items())


SUBSETS = [
    (algorithm, adapt)
    for algorithm, kind in sorted(ALGORITHMS.items())
    if "adapt" in kind.Params.model_fields
    for adapt in get_args(kind.Params.model_fields["adapt"].annotation)
]


@pytest.mark.parametrize(("algorithm", "adapt"), SUBSETS)
def test_every_subset_moves_who_rated_and_nobody_else(
    make: Make, episodes: Episodes, algorithm: str, adapt: str
) -> None:
    learner = make(algorithm, adapt=adapt)
    before = learner.score_catalogue(learner.adapt(episodes.support.first(0))).mean
    after = learner.score_catalogue(learner.adapt(episodes.support)).mean
    rated_B = episodes.support.mask_BS.any(1)
    torch.testing.assert_close(after[~rated_B], before[~rated_B], **TOLERANCE)
    assert ((after - before)[rated_B].abs().amax(1) > 1e-3).all()
    loss, gradients = learner.meta_gradient(learner.theta, episodes)
    actual, found = learner.meta_gradient(learner.theta, padded(episodes))
    torch.testing.assert_close(actual, loss, **TOLERANCE)
    for key, gradient in gradients.items():
        torch.testing.assert_close(found[key], gradient, **TOLERANCE)


def test_the_subsets_of_the_gradient_methods_are_all_there() -> None:
    five = {"head", "decision", "all", "lora", "film"}
    offered = {name: {s for n, s in SUBSETS if n == name} for name, _ in SUBSETS}
    assert offered.pop("anil") == {"head"}
    assert set(offered) >= {"maml", "fomaml", "reptile", "meta_sgd", "mlr", "meta_lstm", "finetune"}
    assert all(subsets == five for subsets in offered.values())
