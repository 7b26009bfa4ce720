"""Signals and the ranking against their definitions, also where ratings say nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from coldstart.combinations._list_server import softplus
from coldstart.combinations._list_signals import Company, log_choice
from coldstart.combinations._list_strangers import FAINT, Crowd
from coldstart.combinations.base import Ingredients
from coldstart.combinations.list import List, ListParams
from coldstart.combinations.student import Student
from coldstart.data.episodes import Episodes, History
from coldstart.data.prepared import Prepared
from coldstart.models.recommender import Recommender, State

Make = Callable[..., Recommender]


def _choices(history: History, below: float) -> Tensor:
    x_UN = torch.zeros(history.n_users, history.n_items, dtype=torch.float64)
    weight_R = torch.where(history.targets_R > history.like, 1.0, below).double()
    x_UN[history.users_R, history.items_R] = weight_R
    return x_UN


def _ease(x_UM: Tensor, penalty: float) -> Tensor:
    """Column by column: the ridge regression of an item on all others (Steck 2019, section 3)."""
    gram_MM = x_UM.T @ x_UM
    weights_MM = torch.zeros_like(gram_MM)
    for column in range(len(gram_MM)):
        rest = torch.arange(len(gram_MM)) != column
        ridge = gram_MM[rest][:, rest] + penalty * torch.eye(len(gram_MM) - 1).double()
        weights_MM[rest, column] = torch.linalg.solve(ridge, gram_MM[rest, column])
    return weights_MM


def test_company_is_the_ridge_regression_of_each_item_on_all_others(
    history: History, company: Company, section: ListParams
) -> None:
    x_UM = _choices(history, section.below)[:, company.items_M]
    expected_MM = _ease(x_UM, section.penalty).float()
    torch.testing.assert_close(company.weights, expected_MM, rtol=1e-4, atol=1e-6)


def test_company_without_a_user_is_what_was_never_learnt_from_the_user(
    history: History, company: Company, section: ListParams
) -> None:
    x_UM = _choices(history, section.below)[:, company.items_M]
    users_B = history.users_R.unique()[:3]
    weights_BM = torch.zeros(3, len(company.items_M))
    weights_BM[:, [2, 5]] = torch.tensor([1.0, 0.4])
    found_BM = company.without(users_B, weights_BM)
    for b, user in enumerate(users_B.tolist()):
        others = torch.arange(len(x_UM)) != user
        expected_M = weights_BM[b].double() @ _ease(x_UM[others], section.penalty)
        outside = weights_BM[b] == 0
        torch.testing.assert_close(
            found_BM[b, outside], expected_M.float()[outside], rtol=1e-3, atol=1e-6
        )
    assert (found_BM - weights_BM @ company.weights).abs().max() > 1e-3  # and that is another


def _shares(liked_UN: Tensor, has_UF: Tensor, own_F: Tensor, held: float) -> Tensor:
    """Naive Bayes by its definition, attribute by attribute."""
    share_N = liked_UN.mean(0)
    log_N = share_N.log()
    for f in own_F.nonzero()[:, 0].tolist():
        others_N = liked_UN[has_UF[:, f]].sum(0)
        of_attribute_N = (others_N + held * share_N) / (has_UF[:, f].sum() + held)
        log_N = log_N + (of_attribute_N / share_N).log()
    return log_N


def test_what_strangers_like_with_and_without_a_user(
    history: History, crowd: Crowd, section: ListParams
) -> None:
    liked_UN = _choices(history, FAINT).float()
    users = history.users_R.unique()
    has_UF = history.user_features_UF[users] > 0
    assert has_UF.any()
    strangers = crowd.strangers
    assert strangers.known_N.tolist() == (liked_UN.sum(0) > 0).tolist()
    for place in (0, 3):
        expected_N = _shares(liked_UN[users], has_UF, has_UF[place], section.held)
        found_N = strangers.liked(history.user_features_UF[users[place : place + 1]])[0]
        torch.testing.assert_close(found_N[strangers.known_N], expected_N[strangers.known_N])
        rest = torch.arange(len(users)) != place
        others_N = _shares(liked_UN[users[rest]], has_UF[rest], has_UF[place], section.held)
        found_BN, known_BN = crowd.without(users[place : place + 1])
        known_N = known_BN[0]
        assert known_N.tolist() == (liked_UN[users[rest]].sum(0) > 0).tolist()
        torch.testing.assert_close(found_BN[0][known_N], others_N[known_N], rtol=1e-3, atol=1e-3)
        assert (others_N - expected_N)[known_N].abs().max() > 0.01  # and that is another


def test_a_large_catalogue_has_company_for_the_most_rated_only(history: History) -> None:
    company = Company.fit(history, below=0.4, penalty=20.0, max_items=7)
    count_N = torch.bincount(history.items_R, minlength=history.n_items)
    assert company.weights.shape == (7, 7)
    assert count_N[company.items_M].min() >= count_N.sort(descending=True).values[7]


@pytest.mark.parametrize("k", [0, 1, 10])
def test_the_ranking_by_definition(make: Make, episodes: Episodes, k: int) -> None:
    """``log P(chooses) + (1 + a_K) log P(likes) + c_K sum_j w_j B_ji``, each by its formula, with
    a share of what strangers like; the list of a stranger is that alone."""
    model = make("list")
    assert isinstance(model, List)
    support, backbone = episodes.support.first(k), model.signals.backbone
    share_CN, factors_CNE, prior_CFE, noise = backbone.exposure
    like_N = torch.zeros(7, model.n_items)
    expected_N = torch.zeros(7, model.n_items)
    company_N = torch.zeros(7, model.n_items)
    taste_BD = model.signals.tasting.adapt(support)["mean_BD"]
    for b in range(7):
        items_S = support.items_BS[b]
        v_SE, rest_S = factors_CNE[0, items_S], 1 - share_CN[0, items_S]
        mean_E = support.users_BF[b] @ prior_CFE[0]
        # the posterior of z through the covariance of the observed, not the precision of z
        gain_ES = v_SE.T @ torch.linalg.inv(v_SE @ v_SE.T + noise * torch.eye(k))
        z_E = mean_E + gain_ES @ (rest_S - v_SE @ mean_E)
        share_N = share_CN[0].clamp(min=0.1 / model.n_items)
        expected_N[b] = (share_N + factors_CNE[0] @ z_E).clamp(min=0.1 * share_N)
        rating_N = backbone.offset_CN[0] + backbone.features_CND[0] @ taste_BD[b]
        like_N[b] = torch.sigmoid(1.702 / backbone.noise.sqrt() * (rating_N - backbone.like))
        for item, target in zip(items_S.tolist(), support.targets_BS[b].tolist(), strict=True):
            place = (model.signals.items_M == item).nonzero()
            if len(place):
                weight = 1.0 if target > float(backbone.like) else float(model.signals.below)
                added_M = weight * model.signals.company_MM[place[0, 0]]
                company_N[b, model.signals.items_M] += added_M
    a, c = model.weights_KJ[k]
    before_BN = torch.zeros(7, model.n_items)
    for b in range(7):
        share_N = share_CN[0].clamp(min=0.1 / model.n_items)
        mean_E = support.users_BF[b] @ prior_CFE[0]
        stranger_N = (share_N + factors_CNE[0] @ mean_E).clamp(min=0.1 * share_N)
        mean_D = support.users_BF[b] @ backbone.prior_FD
        rating_N = backbone.offset_CN[0] + backbone.features_CND[0] @ mean_D
        odds_N = 1.702 / backbone.noise.sqrt() * (rating_N - backbone.like)
        before_BN[b] = stranger_N.log() + torch.sigmoid(odds_N).log()
    strangers = model.signals.strangers
    liked_BN = strangers.liked(support.users_BF)
    more_BN = (liked_BN - before_BN) / (1 + k) * strangers.known_N
    expected_BN = expected_N.log() + more_BN + a * like_N.log() + c * company_N
    if k == 0:
        known = strangers.known_N
        torch.testing.assert_close(expected_BN[:, known], liked_BN[:, known], rtol=0, atol=1e-4)
    found_BN = model.rank_catalogue(model.adapt(support))
    torch.testing.assert_close(found_BN[:, 1:], expected_BN[:, 1:], rtol=1e-3, atol=1e-3)


def test_ratings_and_variances_are_those_of_the_method_that_rates(
    make: Make, episodes: Episodes
) -> None:
    model, blend = make("list"), make("blend")
    for k in (0, 4):
        support = episodes.support.first(k)
        found = model.score(model.adapt(support), episodes.items_BQ)
        expected = blend.score(blend.adapt(support), episodes.items_BQ)
        assert torch.equal(found.mean, expected.mean)
        assert found.variance is not None
        assert expected.variance is not None
        assert torch.equal(found.variance, expected.variance)


@pytest.mark.parametrize("what", ["all alike", "all liked", "nobody likes"])
def test_degenerate_ratings_make_a_list(
    what: str, ingredients: Ingredients, section: ListParams, prepared: Prepared
) -> None:
    ratings = prepared.ratings.copy()
    ratings["rating"] = {"all alike": 3.0, "all liked": 5.0, "nobody likes": 1.0}[what]
    if what == "all liked":
        ratings.loc[::3, "rating"] = 4.0
    ratings["target"] = ratings["rating"]
    changed = replace(prepared, ratings=ratings)
    made = List.make(
        section.model_copy(update={"rating": "itemknn"}),
        replace(ingredients, history=changed.history(0)),
    )
    support = changed.eval_episodes(0, "cold").support
    for k in (0, 5):
        assert made.rank_catalogue(made.adapt(support.first(k))).isfinite().all()


def test_softplus_is_exact_where_exponentials_end() -> None:
    x = np.array([-1e4, -3.0, 0.0, 3.0, 1e4], dtype=np.float32)
    np.testing.assert_allclose(softplus(x), np.logaddexp(0, x.astype(np.float64)), rtol=1e-6)


@pytest.mark.parametrize("k", [0, 5])
def test_a_student_of_a_list_ranks_by_choice_and_its_own_rating(
    make: Make, episodes: Episodes, k: int
) -> None:
    teacher, student = make("list"), make("student")
    assert isinstance(teacher, List)
    assert isinstance(student, Student)
    support = episodes.support.first(k)
    state = student.adapt(support)
    signals = teacher.signals
    choosing = signals.choosing.adapt(support.of_new_users())
    share_N, factors_NE = signals.shares[0], signals.backbone.exposure.factors_CNE[0]
    nothing = student.adapt(support.first(0))

    def choice(mean_BE: Tensor) -> Tensor:
        return log_choice(share_N + mean_BE @ factors_NE.mT, share_N)

    def like(state: State) -> Tensor:
        rating_BN = student.score_catalogue(state).mean
        return torch.sigmoid(signals.slope * (rating_BN - signals.backbone.like)).log()

    before_BN = choice(choosing["before_BE"]) + like(nothing)
    more_BN = (signals.strangers.liked(support.users_BF) - before_BN) / (1 + k)
    more_BN = more_BN * signals.strangers.known_N
    expected_BN = choice(choosing["mean_BE"]) + more_BN + teacher.weights_KJ[k, 0] * like(state)
    torch.testing.assert_close(student.rank_catalogue(state), expected_BN, rtol=1e-3, atol=1e-3)
