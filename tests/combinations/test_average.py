"""The mean is the mean; nothing but theta changes."""

from __future__ import annotations

from collections.abc import Callable

import torch

from coldstart.algorithms.bayes_head import BayesHead
from coldstart.combinations.average import Average, AverageParams, mean_of
from coldstart.combinations.base import Ingredients
from coldstart.models.recommender import Recommender
from coldstart.training.run import Run


def test_the_mean_of_thetas_by_hand() -> None:
    thetas = [
        {"a": torch.tensor([0.0, 3.0])},
        {"a": torch.tensor([1.0, 4.0])},
        {"a": torch.tensor([5.0, 2.0])},
    ]
    assert torch.equal(mean_of(thetas)["a"], torch.tensor([2.0, 3.0]))


def test_it_averages_the_ends_of_the_cycles(
    ingredients: Ingredients, make: Callable[[str], Recommender]
) -> None:
    """Two cycles of two steps, done by hand with the one sampler of the run."""
    saved = ingredients.methods["bayes_head"]
    assert isinstance(saved, BayesHead)
    learner = BayesHead(ingredients.backbone, saved.params, saved.head, saved.theta)
    loop = ingredients.params.meta_train.loop.model_copy(update={"max_steps": 2})
    sampler, thetas = ingredients.episodes(), [learner.theta]
    for _ in range(2):
        run = Run(learner.with_theta(thetas[-1]), loop)
        run.advance(sampler.sample(), "by hand")
        run.advance(sampler.sample(), "by hand")
        thetas.append(run.theta)
    averaged = make("average")
    assert isinstance(averaged, BayesHead)
    assert not torch.equal(thetas[0]["noise_2"], thetas[2]["noise_2"])
    for name, value in averaged.theta.items():
        mean = (thetas[0][name] + thetas[1][name] + thetas[2][name]) / 3
        torch.testing.assert_close(value, mean)


def test_what_it_wants() -> None:
    assert Average.wanted(AverageParams(of="maml", cycles=1, steps=1)) == ("maml",)
