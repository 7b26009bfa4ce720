"""The posterior of what a user chooses: the joint normal distribution, conditioned on ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from coldstart.data.episodes import Support
from coldstart.models.backbone import Exposure
from coldstart.models.choosing import Choosing, ChoosingServer

N, F, E = 12, 2, 4
NOISE = 0.5


def _model(n_tables: int = 1, n_factors: int = E, noise: float = NOISE) -> Choosing:
    rng = np.random.default_rng(0)
    C = n_tables
    exposure = Exposure(
        *(
            torch.from_numpy(rng.normal(scale=0.3, size=shape))
            for shape in ((C, N), (C, N, n_factors), (C, F, n_factors))
        ),
        noise=torch.tensor(noise, dtype=torch.float64),
    )
    return Choosing(exposure, exposure.noise)


def _support(items: list[list[int]], table: int = 0) -> Support:
    items_BS = torch.tensor(items, dtype=torch.int64)
    features = np.random.default_rng(1).normal(size=(len(items), F))
    return Support(
        items_BS,
        torch.full(items_BS.shape, 7.0, dtype=torch.float64),
        items_BS > 0,
        torch.from_numpy(features),
        torch.full((len(items),), table),
    )


def _conditioned(model: Choosing, items: list[int], features_F: Tensor, table: int = 0) -> Tensor:
    """``E[z | x = 1]`` by the formula for a joint normal."""
    v = model.exposure.factors_CNE[table, items].numpy()
    prior = features_F.numpy() @ model.exposure.prior_CFE[table].numpy()
    covariance = v @ v.T + float(model.noise) * np.eye(len(items))
    rest = 1 - model.exposure.share_CN[table, items].numpy() - v @ prior
    return torch.from_numpy(prior + v.T @ np.linalg.solve(covariance, rest))


@pytest.mark.parametrize("table", [0, 1])
@pytest.mark.parametrize("items", [[2], [3, 5, 7], [1, 2, 3, 4], [1, 3, 5, 6, 8, 9, 11]])
def test_fewer_and_more_ratings_than_factors_condition_the_joint_normal(
    items: list[int], table: int
) -> None:
    model, support = _model(2), _support([items], table)
    found_E = model.adapt(support)["mean_BE"][0]
    expected_E = _conditioned(model, items, support.users_BF[0], table)
    torch.testing.assert_close(found_E, expected_E, rtol=1e-9, atol=1e-12)


@given(st.lists(st.integers(1, N - 1), max_size=8, unique=True), st.integers(0, 8))
def test_padding_changes_nothing(items: list[int], n_padded: int) -> None:
    model = _model()
    alone, padded = _support([items]), _support([items + n_padded * [0]])
    found, expected = model.adapt(padded)["mean_BE"], model.adapt(alone)["mean_BE"]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_users_of_other_tables_beside_one_change_nothing_of_it() -> None:
    model, support = _model(2), _support([[1, 4, 0], [2, 3, 5]])
    mixed = support._replace(crossfit_B=torch.tensor([1, 0]))
    expected_E = _conditioned(model, [1, 4], support.users_BF[0], 1)
    torch.testing.assert_close(model.adapt(mixed)["mean_BE"][0], expected_E)
    torch.testing.assert_close(model.adapt(mixed)["mean_BE"][1], model.adapt(support)["mean_BE"][1])


def test_without_support_a_user_is_what_attributes_say() -> None:
    model, support = _model(), _support([[3, 5], [2, 4]])
    state = model.adapt(support.first(0))
    expected_BE = support.users_BF @ model.exposure.prior_CFE[0]
    torch.testing.assert_close(state["mean_BE"], expected_BE)
    torch.testing.assert_close(state["before_BE"], expected_BE)


def test_what_was_rated_counts_and_not_how() -> None:
    model, support = _model(), _support([[3, 5, 7]])
    other = support._replace(targets_BS=-support.targets_BS)
    assert torch.equal(model.adapt(support)["mean_BE"], model.adapt(other)["mean_BE"])


@pytest.mark.parametrize("items", [[2], [3, 5, 7, 1], [1, 3, 5, 6, 8, 9]])
def test_one_choice_after_another_is_all_at_once(items: list[int]) -> None:
    model, whole = _model(), _support([items, items[::-1]])
    state = model.adapt(whole.first(0))
    for place in range(len(items)):
        state = model.update(state, whole.items_BS[:, place])
    torch.testing.assert_close(state["mean_BE"], model.adapt(whole)["mean_BE"])


@pytest.mark.parametrize("items", [[3, 5, 7], [1, 3, 5, 6, 8, 9]])
def test_gradients_reach_the_noise(items: list[int]) -> None:
    model, support = _model(), _support([items])
    noise = model.noise.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s2: model._replace(noise=s2).adapt(support)["mean_BE"], (noise,)
    )


@pytest.mark.parametrize("items", [[], [2], [3, 5, 7], [1, 2, 3, 4], [1, 3, 5, 6, 8, 9, 11]])
def test_a_user_alone_is_served_what_a_batch_gets(items: list[int]) -> None:
    model, support = _model(), _support([items or [0]])
    state = model.adapt(support)
    server = ChoosingServer(model)
    features_F = support.users_BF[0].float().numpy()
    known = server.adapt(np.array(items, dtype=np.int64), features_F)
    assert known.size == len(items)
    np.testing.assert_allclose(known.mean_E, state["mean_BE"][0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(known.before_E, state["before_BE"][0], rtol=1e-4, atol=1e-6)
    expected_N = model.exposure.share_CN[0] + model.exposure.factors_CNE[0] @ state["mean_BE"][0]
    np.testing.assert_allclose(server.expected(known.mean_E), expected_N, rtol=1e-4, atol=1e-6)
    again = server.adapt(np.array(items, dtype=np.int64), features_F)
    np.testing.assert_array_equal(again.mean_E, known.mean_E)  # nothing of the model was changed
