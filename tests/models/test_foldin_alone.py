"""One user alone in numpy against the batch in torch, whatever is uncertain, informed or noisy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from coldstart.data.episodes import Support
from coldstart.models.foldin import FoldIn, expected_error, found_in, known_of, predictive
from coldstart.models.foldin_alone import FoldInServer
from coldstart.models.server import alone

N, D, F = 9, 4, 2


def _normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=["uncertain, informed", "certain, informed", "certain"])
def model(request: pytest.FixtureRequest) -> FoldIn:
    root_DD, own_NDD = _normal(D, D, seed=0), 0.3 * _normal(N, D, D, seed=1)
    x_CND = _normal(2, N, D, seed=2)
    x_CND[..., 0] = 1
    return FoldIn(
        x_CND=x_CND,
        offset_CN=3 + _normal(2, N, seed=3),
        weight_CN=0.3 + _normal(2, N, seed=4).square(),
        precision_DD=root_DD @ root_DD.mT + torch.eye(D),
        prior_CFD=_normal(1, F, D, seed=5),
        covariance_NDD=own_NDD @ own_NDD.mT if "uncertain" in request.param else None,
        choice_CND=_normal(2, N, D, seed=6) if "informed" in request.param else None,
        damping=2.0,
    )


@pytest.mark.parametrize("size", [0, 1, D, 70])  # more than the ones that are laid out
def test_equals_the_batch(model: FoldIn, size: int) -> None:
    support = Support(
        torch.randint(0, N, (1, size), generator=torch.Generator().manual_seed(7)),
        3 + _normal(1, size, seed=8),
        torch.ones(1, size, dtype=torch.bool),
        _normal(1, F, seed=9),
        torch.zeros(1, dtype=torch.int64),
    )
    state, server = model.adapt(support), FoldInServer(model)
    own, close = server.adapt(*alone(support)), {"rtol": 1e-5, "atol": 1e-5}
    found = found_in(state)
    np.testing.assert_allclose(own.mean_D, found.mean[0], **close)
    np.testing.assert_allclose(np.linalg.inv(own.precision_DD), found.covariance[0], **close)
    items_1N = torch.arange(N).unsqueeze(0)
    mean_1N, variance_1N = predictive(model.items(items_1N, torch.zeros_like(items_1N)), found)
    mean_N, variance_N = server.score(own, items_1N[0].numpy())
    np.testing.assert_allclose(mean_N, mean_1N[0], **close)
    assert variance_N is not None
    np.testing.assert_allclose(variance_N, variance_1N[0], **close)
    np.testing.assert_allclose(server.rank(own), mean_1N[0], **close)
    error = float(expected_error(known_of(state), found))
    assert server.expected_error(own) == pytest.approx(error, rel=1e-4, abs=1e-4)


def test_what_is_expected_of_a_stranger_is_what_no_rating_leaves(model: FoldIn) -> None:
    server, features_F = FoldInServer(model), _normal(F, seed=9).numpy()
    none = np.zeros(0, dtype=np.float32)
    state = server.adapt(none.astype(np.int64), none, features_F)
    np.testing.assert_allclose(server.expected(features_F), server.rank(state), rtol=1e-6)


def test_weights_that_nothing_holds_are_an_error() -> None:
    loose = FoldIn(
        x_CND=torch.ones(1, N, D),
        offset_CN=torch.zeros(1, N),
        weight_CN=torch.ones(1, N),
        precision_DD=torch.zeros(D, D),
        prior_CFD=torch.zeros(1, F, D),
    )
    server, nothing = FoldInServer(loose), np.zeros(0, dtype=np.float32)
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        server.adapt(nothing.astype(np.int64), nothing, np.zeros(F, dtype=np.float32))
