"""The model of exposure against dense linear algebra."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from coldstart.data.episodes import History
from coldstart.models.backbone import Backbone
from coldstart.models.exposure import with_exposure
from coldstart.params import ExposureParams

U, N, F = 30, 12, 2
PARAMS = ExposureParams(factors=3, activity=0.0, noise=2.0, penalty=5.0)


def _history(seed: int = 0) -> History:
    rng = np.random.default_rng(seed)
    seen = rng.random((U, N)) < rng.uniform(0.2, 0.8, N)
    seen[:, 0] = False
    seen[:, 1] = True
    users, items = np.nonzero(seen)
    return History(
        users_R=torch.from_numpy(users),
        items_R=torch.from_numpy(items),
        targets_R=torch.full((len(users),), 3.0),
        n_users=U,
        n_items=N,
        user_features_UF=torch.from_numpy(rng.normal(size=(U, F)).astype(np.float32)),
        item_features_NG=torch.zeros(N, 0),
    )


def _backbone(n_groups: int = 2) -> Backbone:
    return Backbone(
        kind="mf",
        features_CND=torch.ones(1 + n_groups, N, 1),
        offset_CN=torch.zeros(1 + n_groups, N),
        count_CN=torch.ones(1 + n_groups, N),
        prior_FD=torch.zeros(F, 1),
        group_U=1 + torch.arange(U) % n_groups,
        side_NG=torch.zeros(N, 0),
        prior_DD=torch.eye(1),
        noise=torch.tensor(1.0),
        choice_JD=torch.zeros(2, 1),
        choice_damping=torch.tensor(1.0),
        like=torch.tensor(3.5),
    )


def _matrix(history: History) -> np.ndarray:  # type: ignore[type-arg]
    x_UN = np.zeros((U, N))
    x_UN[history.users_R.numpy(), history.items_R.numpy()] = 1
    return x_UN


def test_factors_are_the_leading_part_of_the_covariance() -> None:
    history = _history()
    share_CN, factors_CNE, _, noise = with_exposure(_backbone(), history, PARAMS, 0).exposure
    x_UN = _matrix(history)
    _, size, right = np.linalg.svd(x_UN - x_UN.mean(0), full_matrices=False)
    leading_NN = (right[:3].T * size[:3] ** 2) @ right[:3] / U
    np.testing.assert_allclose(share_CN[0], x_UN.mean(0), atol=1e-5)
    np.testing.assert_allclose(factors_CNE[0] @ factors_CNE[0].T, leading_NN, atol=1e-5)
    assert float(noise) == pytest.approx(2.0 * x_UN.var(0).mean(), rel=1e-5)


def test_a_table_has_not_seen_its_group() -> None:
    """The item step and the map of attributes of a table are those of the other users alone."""
    history, backbone = _history(), _backbone()
    exposure = with_exposure(backbone, history, PARAMS, 0).exposure
    x_UN = _matrix(history)
    left, _, _ = np.linalg.svd(x_UN - x_UN.mean(0), full_matrices=False)
    rest = backbone.group_U.numpy() != 1
    z_RE = left[rest, :3] * np.sqrt(U)
    solution = np.linalg.lstsq(z_RE - z_RE.mean(0), x_UN[rest], rcond=None)[0]
    np.testing.assert_allclose(exposure.share_CN[1], x_UN[rest].mean(0), atol=1e-5)
    products = exposure.factors_CNE[1] @ exposure.factors_CNE[1].T
    np.testing.assert_allclose(products, solution.T @ solution, atol=1e-4)
    features_RF = history.user_features_UF.numpy()[rest]
    gram = features_RF.T @ features_RF + PARAMS.penalty * np.eye(F)
    expected_FN = np.linalg.solve(gram, features_RF.T @ z_RE) @ solution
    found_FN = exposure.prior_CFE[1] @ exposure.factors_CNE[1].T
    np.testing.assert_allclose(found_FN, expected_FN, atol=1e-4)


def test_busy_users_count_less() -> None:
    history = _history()
    weighed = with_exposure(
        _backbone(), history, PARAMS.model_copy(update={"activity": 1.0}), 0
    ).exposure
    x_UN = _matrix(history)
    per_user_UN = x_UN / x_UN.sum(1, keepdims=True)
    expected_N = per_user_UN.mean(0) * x_UN.sum() / U
    np.testing.assert_allclose(weighed.share_CN[0], expected_N, atol=1e-5)


def test_more_factors_than_the_data_can_have() -> None:
    exposure = with_exposure(
        _backbone(), _history(), PARAMS.model_copy(update={"factors": 40}), 0
    ).exposure
    assert exposure.factors_CNE.shape == (3, N, 40)
    assert exposure.factors_CNE.isfinite().all()


def test_an_item_that_nobody_rated_is_what_its_attributes_suggest() -> None:
    history, new = _history(), [N - 2, N - 1]
    kept = ~torch.isin(history.items_R, torch.tensor(new))
    sides = torch.zeros(N, 1)
    sides[1:N:2] = 1.0  # the last is like the first, which everybody rated
    part = history._replace(
        users_R=history.users_R[kept], items_R=history.items_R[kept], item_features_NG=sides
    )
    found = with_exposure(_backbone(), part, PARAMS, 0).exposure
    plain = with_exposure(_backbone(), part._replace(item_features_NG=torch.zeros(N, 0)), PARAMS, 0)
    old = np.arange(1, N - 2)
    for table in range(len(found.share_CN)):
        torch.testing.assert_close(found.share_CN[table, old], plain.exposure.share_CN[table, old])
        values = np.column_stack([found.share_CN[table], found.factors_CNE[table]])
        design = np.column_stack([np.ones(N), sides[:, 0]])
        gram = design[old].T @ design[old] + np.diag([0, PARAMS.penalty])
        solution = np.linalg.solve(gram, design[old].T @ values[old])
        np.testing.assert_allclose(values[new], design[new] @ solution, atol=1e-5)
        assert values[new, 0].min() > 0.1
        assert not values[0].any()  # nothing is known of the unknown item


def test_a_backbone_without_the_model_says_so() -> None:
    with pytest.raises(AssertionError, match="mf: a backbone without a model of exposure"):
        _ = replace(_backbone(), exposed_CN=torch.zeros(1, N)).exposure
