from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from coldstart.algorithms import ALGORITHMS
from coldstart.algorithms._base import MetaLearner
from coldstart.data.episodes import Episodes

Make = Callable[..., MetaLearner[Any]]
Directional = Callable[..., tuple[float, float]]
EMBEDDINGS = {"user_FE", "item_GD"}


@pytest.mark.parametrize("head", ["rating", "click"])
def test_gradient_equals_finite_differences(
    make: Make, make_episodes: Callable[..., Episodes], directional: Directional, head: str
) -> None:
    numbers: dict[str, Any] = {"embedding": 4, "hidden": 8, "inner_steps": 3, "inner_rate": 0.02}
    learner = make("melu", dtype=torch.float64, head=head, **numbers)
    episodes = make_episodes(head, dtype=torch.float64)
    for seed in range(3):
        analytic, numeric = directional(learner, episodes, seed)
        assert analytic == pytest.approx(numeric, rel=1e-5, abs=1e-6)


def test_embeddings_are_shared_and_learn_all_the_same(make: Make, episodes: Episodes) -> None:
    learner = make("melu", inner_rate=0.01)
    state = learner.adapt(episodes.support)
    assert set(state) == (set(learner.theta) - EMBEDDINGS) | {"users_B1F"}
    rated_B = episodes.support.mask_BS.any(1)
    for name in set(learner.theta) - EMBEDDINGS:
        moved_B = (state[name] != learner.theta[name]).flatten(1).any(1)
        assert torch.equal(moved_B, rated_B), name
    _, gradients = learner.meta_gradient(learner.theta, episodes)
    for name in EMBEDDINGS:
        assert gradients[name].abs().max() > 1e-6


def test_one_local_update_is_a_plain_gradient_step(
    make: Make, make_episodes: Callable[..., Episodes]
) -> None:
    """The output bias moves by the mean error: d mean (s - y)^2 / db = 2 mean (s - y)."""
    learner = make("melu", dtype=torch.float64, inner_steps=1, inner_rate=0.01)
    support = make_episodes(dtype=torch.float64).support
    before = learner.score(learner.adapt(support.first(0)), support.items_BS).mean
    error_BS = (before - support.targets_BS) * support.mask_BS
    step_B = -0.02 * error_BS.sum(1) / support.mask_BS.sum(1).clamp(min=1)
    moved_B = learner.adapt(support)["b3_11"].flatten() - learner.theta["b3_11"].flatten()
    torch.testing.assert_close(moved_B, step_B)


def test_the_shape_is_the_published_one(make: Make) -> None:
    theta = make("melu").theta
    assert theta["user_FE"].shape == (3, 32)
    assert theta["item_GD"].shape == (4, 3 * 32)
    assert theta["w1_DH"].shape == (3 * 32, 64)
    assert theta["w1_EH"].shape == (32, 64)
    assert theta["w2_HH"].shape == (64, 64)


def test_at_the_printed_rate_ratings_change_nothing_and_at_the_tuned_one_they_do(
    make: Make, episodes: Episodes
) -> None:
    """In rating points, of a learner at its start."""
    moved = {}
    for name in ("melu_published", "melu"):
        learner = make(name)
        adapted, blank = (
            learner.score_catalogue(learner.adapt(support)).mean
            for support in (episodes.support, episodes.support.first(0))
        )
        moved[name] = float((adapted - blank).abs().max())
    assert make("melu_published").params.inner_rate == 5e-6
    assert moved["melu_published"] < 0.01
    assert moved["melu"] > 0.05


def test_only_content_is_read(make: Make, episodes: Episodes) -> None:
    learner = make("melu")
    table = learner.backbone
    other = replace(table, features_CND=-table.features_CND, offset_CN=table.offset_CN + 1)
    twin = type(learner)(other, learner.params, learner.head, learner.theta)
    assert torch.equal(
        twin.score_catalogue(twin.adapt(episodes.support)).mean,
        learner.score_catalogue(learner.adapt(episodes.support)).mean,
    )


def test_without_any_side_information_it_is_a_constant_that_adapts(
    make: Make, make_episodes: Callable[..., Episodes]
) -> None:
    learner = make("melu", n_features=0, inner_rate=0.01)
    table = replace(learner.backbone, side_NG=torch.zeros(learner.n_items, 0))
    bare = ALGORITHMS["melu"].create(table, learner.params, learner.head, 0)
    support = make_episodes(n_features=0).support
    scores_BN = bare.score_catalogue(bare.adapt(support)).mean
    torch.testing.assert_close(scores_BN, scores_BN[:, :1].expand_as(scores_BN))
    mean = (table.count_CN[0] @ table.offset_CN[0]) / table.count_CN[0].sum()
    torch.testing.assert_close(scores_BN[0, 0], mean)  # nothing rated: the mean of all ratings
    rated_B = support.mask_BS.any(1)
    error_B = ((mean - support.targets_BS) * support.mask_BS).sum(1)
    assert ((scores_BN[:, 0] - mean) * error_B < 0)[rated_B].all()  # towards what was rated
    loss, gradients = bare.meta_gradient(bare.theta, make_episodes(n_features=0))
    assert loss.isfinite()
    assert gradients["b3_11"].abs().item() > 0
