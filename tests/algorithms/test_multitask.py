from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from coldstart.algorithms._base import MetaLearner
from coldstart.algorithms._multitask_server import MultiTaskServer
from coldstart.algorithms.multitask import MultiTask, weighted
from coldstart.data.episodes import Episodes
from coldstart.models.server import alone

Make = Callable[..., MetaLearner[Any]]


def _multitask(make: Make, **changes: Any) -> MultiTask:
    learner = make("multitask", **changes)
    assert isinstance(learner, MultiTask)
    return learner


def test_uncertainties_at_their_optimum_are_the_losses() -> None:
    losses_T = torch.tensor([0.3, 2.0, 7.0], dtype=torch.float64)
    log_variances_T = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_variances_T], max_iter=100, tolerance_grad=1e-12)

    def objective() -> torch.Tensor:
        optimiser.zero_grad()
        total = weighted(losses_T, log_variances_T).sum()
        total.backward()
        return total

    optimiser.step(objective)
    torch.testing.assert_close(log_variances_T.detach().exp(), losses_T, rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("head", ["rating", "click"])
def test_gradient_equals_finite_differences(
    make: Make,
    make_episodes: Callable[..., Episodes],
    directional: Callable[..., tuple[float, float]],
    head: str,
) -> None:
    learner = _multitask(make, dtype=torch.float64, head=head)
    episodes = make_episodes(dtype=torch.float64)
    if head == "click":
        support = episodes.support
        episodes = episodes._replace(
            support=support._replace(targets_BS=(support.targets_BS >= 4).double()),
            targets_BQ=(episodes.targets_BQ >= 4).double(),
        )
    analytic, numeric = directional(learner, episodes, seed=3, training=True)
    assert analytic == pytest.approx(numeric, rel=1e-4)


def test_every_signal_moves_the_trunk(make: Make, episodes: Episodes) -> None:
    learner = _multitask(make)
    quiet_T = torch.full((3,), 30.0)  # an uncertain signal says nothing
    for signal, expected in enumerate(([1, 0, 0], [0, 1, 1], [0, 0, 1])):  # a like reads the rating
        theta = learner.theta | {"log_variance_T": quiet_T.index_fill(0, torch.tensor(signal), 0.0)}
        _, gradients = learner.meta_gradient(theta, episodes)
        assert gradients["item_XH"].abs().max() > 1e-5
        moved_T = gradients["task_HT"].abs().amax(0) > 1e-5
        assert moved_T.int().tolist() == expected


def test_the_catalogue_is_ranked_by_choice_and_like(make: Make, episodes: Episodes) -> None:
    learner = _multitask(make, noise=0.0)
    state = learner.adapt(episodes.support)
    backbone, z_BE = learner.backbone, state["exposure.mean_BE"]
    share_N, factors_NE = backbone.exposure.share_CN[0], backbone.exposure.factors_CNE[0]
    expected_BN = (share_N + z_BE @ factors_NE.T).clamp(min=0.1 * share_N)
    rating_BN = learner.score_catalogue(state).mean
    slope = 1.702 / backbone.noise.sqrt()
    like_BN = torch.sigmoid(slope * (rating_BN - 3.5))
    torch.testing.assert_close(
        learner.rank_catalogue(state)[:, 1:].exp(),
        (expected_BN * like_BN)[:, 1:],
        rtol=1e-3,
        atol=1e-4,
    )


def test_which_items_were_chosen_moves_the_ranking_whatever_their_ratings(
    make: Make, episodes: Episodes
) -> None:
    learner = _multitask(make, noise=0.0)
    support = episodes.support
    louder = support._replace(targets_BS=support.targets_BS + 1)
    here, there = learner.adapt(support), learner.adapt(louder)
    torch.testing.assert_close(here["exposure.mean_BE"], there["exposure.mean_BE"])
    assert not torch.equal(here["taste.mean_BD"], there["taste.mean_BD"])
    nobody = learner.adapt(support.first(0))
    assert (here["exposure.mean_BE"] - nobody["exposure.mean_BE"])[5].abs().max() > 0.01


def test_choice_is_a_softmax_corrected_for_how_often_items_are_drawn(
    make: Make, episodes: Episodes
) -> None:
    """Against the definition, for one user whose others are two items."""
    learner = _multitask(make)
    few = episodes.rows(slice(3, 5))
    few = few._replace(
        items_BQ=torch.tensor([[11, 12], [13, 14]]), targets_BQ=few.targets_BQ[:, :2]
    )
    few = few._replace(mask_BQ=torch.tensor([[True, False], [True, True]]))
    few = few._replace(support=few.support.first(0))
    state = learner.adapt_with(learner.theta, few.support, training=False)
    everything = torch.arange(learner.n_items).expand(2, -1)
    scores = learner._scores(
        learner.theta, state, learner._items(everything, few.support.crossfit_B)
    )
    count_N = learner.backbone.count_CN[0] + 1
    corrected_N = scores.exposure[0] - (count_N / count_N.sum()).log()
    expected = -torch.log_softmax(corrected_N[[11, 13, 14]], 0)[0]
    chosen_BQ = scores.exposure.gather(1, few.items_BQ)
    found_B = learner._choice_loss(learner.theta, state, chosen_BQ, few)
    torch.testing.assert_close(found_B[0], expected)


def test_a_server_lifts_items_that_nobody_rated_as_the_method_does(
    make: Make, episodes: Episodes
) -> None:
    """Their share is 0, or below in what a linear model made of it."""
    learner = _multitask(make)
    shares_CN = learner.backbone.exposed_CN
    assert shares_CN is not None
    shares_CN = shares_CN.clone()
    shares_CN[:, 3:9] = torch.tensor([0.0, -0.01, 0.0, -0.02, 0.001, 0.0])
    backbone = replace(learner.backbone, exposed_CN=shares_CN)
    rare = MultiTask(backbone, learner.params, learner.head, learner.theta)
    ranks_BN, server = rare.rank_catalogue(rare.adapt(episodes.support)), rare.serve()
    assert isinstance(server, MultiTaskServer)
    for user in range(episodes.n_users):
        own = server.adapt(*alone(episodes.support.rows(slice(user, user + 1))))
        found = torch.from_numpy(server.rank(own))
        torch.testing.assert_close(found, ranks_BN[user], rtol=1e-4, atol=1e-4)


def test_the_variance_is_that_of_the_closed_form_and_of_the_noise(
    make: Make, episodes: Episodes
) -> None:
    """By the inverse of the precision, user by user, beside the Cholesky factor that is used."""
    learner = _multitask(make, dtype=torch.float64, noise=0.0)
    backbone = replace(learner.backbone, covariance_NDD=None)
    learner = MultiTask(backbone, learner.params, learner.head, learner.theta)
    support = episodes.support
    support = support._replace(
        targets_BS=support.targets_BS.double(), users_BF=support.users_BF.double()
    )
    found = learner.score(learner.adapt(support), episodes.items_BQ).variance
    assert found is not None
    for user in range(len(found)):
        rated_S = support.mask_BS[user]
        x_SD = backbone.features_CND[0, support.items_BS[user][rated_S]]
        gram_DD = x_SD.T @ x_SD / backbone.noise
        covariance_DD = torch.linalg.inv(gram_DD + torch.linalg.inv(backbone.prior_DD))
        x_QD = backbone.features_CND[0, episodes.items_BQ[user]]
        expected_Q = (x_QD @ covariance_DD * x_QD).sum(1) + backbone.noise
        torch.testing.assert_close(found[user], expected_Q)


def test_calibrated_variances_are_squared_errors_on_average(make: Make, episodes: Episodes) -> None:
    learner = _multitask(make).calibrated(episodes, shots=(0, 3))
    ratios = []
    for k in (0, 3):
        state = learner.adapt(episodes.support.first(k))
        mean_BQ, variance_BQ = learner.score(state, episodes.items_BQ)
        assert variance_BQ is not None
        square_BQ = (mean_BQ - episodes.targets_BQ).square()
        ratios.append(episodes.mean_over_users(square_BQ / variance_BQ))
    assert float(torch.stack(ratios).mean()) == pytest.approx(1.0, rel=1e-5)
    untouched = _multitask(make).score(state, episodes.items_BQ).mean
    assert torch.equal(mean_BQ, untouched)


def test_others_are_read_from_each_users_table_also_where_it_is_the_same(
    make: Make, episodes: Episodes
) -> None:
    """Users of one table, whose candidates are read once, lose what they lose one by one."""
    learner = _multitask(make)
    items_M = episodes.items_BQ[episodes.mask_BQ]
    n_tables, n_users = len(learner.backbone.features_CND), episodes.n_users
    mixed_B = torch.arange(n_users) % n_tables
    assert n_tables > 1
    for crossfit_B in (torch.full((n_users,), 1), mixed_B):
        found = learner._candidates(items_M, crossfit_B)
        for b in range(n_users):
            own = learner._items(items_M.unsqueeze(0), crossfit_B[b : b + 1])
            for field, value in zip(found, own, strict=True):
                assert torch.equal(field.expand(n_users, *field.shape[1:])[b], value[0])
    assert found.offset_BI.shape[0] == n_users
