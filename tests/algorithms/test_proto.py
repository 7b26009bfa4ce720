from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from coldstart.algorithms._base import MetaLearner
from coldstart.algorithms._pairs import PairLearner
from coldstart.algorithms.proto import encode
from coldstart.data.episodes import Episodes

Make = Callable[..., MetaLearner[Any]]


@pytest.mark.parametrize("seed", range(3))
def test_gradient_equals_finite_differences(
    make: Make,
    make_episodes: Callable[..., Episodes],
    directional: Callable[..., tuple[float, float]],
    seed: int,
) -> None:
    learner = make("proto", dtype=torch.float64)
    episodes = make_episodes(dtype=torch.float64)
    analytic, numeric = directional(learner, episodes, seed, training=True)
    assert analytic == pytest.approx(numeric, rel=1e-5)


def test_score_is_half_the_difference_of_squared_distances(
    make: Make, make_episodes: Callable[..., Episodes]
) -> None:
    learner: Any = make("proto", dtype=torch.float64)
    episodes = make_episodes(dtype=torch.float64)
    state = learner.adapt(episodes.support)
    items = learner.items(
        episodes.items_BQ, torch.zeros(episodes.n_users).long(), episodes.support.users_BF
    )
    encoded_BQP = encode(learner.theta, items)

    def distance(point_BP: torch.Tensor) -> torch.Tensor:
        far_BQP = (encoded_BQP - point_BP.unsqueeze(1)).square()
        return (far_BQP * learner.theta["metric_P"]).sum(-1)

    nearer_BQ = (distance(state["disliked_BP"]) - distance(state["liked_BP"])) / 2
    expected_BQ = items.prior_BI + state["mean_B"].unsqueeze(-1) + nearer_BQ
    torch.testing.assert_close(learner.score(state, episodes.items_BQ).mean, expected_BQ)


def test_prototypes_by_hand(make: Make, make_episodes: Callable[..., Episodes]) -> None:
    """Untrained: equal attention, prototypes around 0, shrunk by the values of the section."""
    learner: Any = make("proto", dtype=torch.float64, noise=0.0, mean_shrinkage=2.0, shrinkage=3.0)
    episodes = make_episodes(dtype=torch.float64)
    user = 3
    support = episodes.support.rows(slice(user, user + 1)).first(user)  # 3 ratings
    backbone = learner.backbone
    weights = support.users_BF[0] @ backbone.prior_FD
    rows = [int(i) for i in support.items_BS[0]]
    prior = [float(backbone.offset_CN[0, i] + backbone.features_CND[0, i] @ weights) for i in rows]
    left = [float(t) - p for t, p in zip(support.targets_BS[0], prior, strict=True)]
    mean = sum(left) / (3 + 2.0)
    items = learner.items(support.items_BS, torch.zeros(1).long(), support.users_BF)
    encoded_SP = encode(learner.theta, items)[0]
    state = learner.adapt(support)
    assert float(state["mean_B"]) == pytest.approx(mean, rel=1e-6)
    for name, sign in (("liked_BP", 1), ("disliked_BP", -1)):
        weight = [max(sign * (value - mean), 0.0) for value in left]
        expected = sum(w * e for w, e in zip(weight, encoded_SP, strict=True)) / (3 + 3.0)
        torch.testing.assert_close(state[name][0], expected, rtol=1e-6, atol=1e-9)


def test_a_liked_item_draws_its_own_score_up(make: Make, episodes: Episodes) -> None:
    """Like one of two items and dislike the other: the liked one gains on it, swapped it loses."""
    learner = make("proto", noise=0.0, shrinkage=5.0)
    support = episodes.support.rows(slice(3, 4)).first(2)
    gaps = []
    for targets in ([5.0, 1.0], [1.0, 5.0]):
        state = learner.adapt(support._replace(targets_BS=torch.tensor([targets])))
        score = learner.score(state, support.items_BS).mean[0]
        gaps.append(float(score[0] - score[1]))
    assert gaps[0] > gaps[1]


def test_inputs_are_standard_where_ratings_are(make: Make) -> None:
    learner: Any = make("proto", noise=0.0)
    assert isinstance(learner, PairLearner)
    inputs_NX = learner._tables.fixed_NX
    share_N = learner.backbone.count_CN[0] / learner.backbone.count_CN[0].sum()
    # rows far outside are pulled in, hence not exactly
    assert (share_N @ inputs_NX).abs().max() < 0.2
    assert ((share_N @ inputs_NX.square()) - 1).abs().max() < 0.4
