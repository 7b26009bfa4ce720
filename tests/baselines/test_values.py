"""Each baseline against numbers worked out by hand or by numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from coldstart.baselines._base import Empty
from coldstart.baselines._offsets import BiasParams, Offsets, fit_offsets
from coldstart.baselines.bias import Bias
from coldstart.baselines.constant import Constant
from coldstart.baselines.item_mean import ItemMean, variance_components
from coldstart.baselines.itemknn import ItemKNN, ItemKNNParams
from coldstart.baselines.popularity import SPAN, Popularity
from coldstart.baselines.random import Random
from coldstart.baselines.ridge import Ridge, RidgeParams
from coldstart.data.episodes import Episodes, History, Support
from coldstart.models.backbone import Backbone

N = 4  # items 1, 2, 3 and the unknown one


def _history(rows: list[tuple[int, int, float]], attributes: torch.Tensor | None = None) -> History:
    users, items, targets = zip(*rows, strict=True)
    n_users = max(users) + 1
    side = torch.zeros(n_users, 0) if attributes is None else attributes
    return History(
        torch.tensor(users), torch.tensor(items), torch.tensor(targets), n_users, N, side,
        torch.zeros(N, 0),
    )  # fmt: skip


def _support(items: list[int], targets: list[float], features: int = 0) -> Support:
    return Support(
        torch.tensor([items], dtype=torch.int64),
        torch.tensor([targets]),
        torch.ones(1, len(items), dtype=torch.bool),
        torch.zeros(1, features),
        torch.zeros(1, dtype=torch.int64),
    )


def _episodes(support: Support, items: list[int], targets: list[float]) -> Episodes:
    query = torch.tensor([items])
    return Episodes(
        support,
        query,
        torch.tensor([targets]),
        torch.ones_like(query, dtype=torch.bool),
        torch.tensor([0]),
    )


def _backbone(d: int = 3, f: int = 2) -> Backbone:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(2, N, d, generator=generator)
    features[..., 0] = 1
    return Backbone(
        "mf",
        features,
        torch.randn(2, N, generator=generator) + 3,
        torch.ones(2, N),
        torch.randn(f, d, generator=generator),
        torch.zeros(5, dtype=torch.int64),
        torch.zeros(N, 0),
        torch.eye(d),
        torch.ones(()),
        torch.zeros(d + 1, d),
        torch.ones(()),
        torch.tensor(3.5),
    )


ROWS = [(0, 1, 5.0), (1, 1, 4.0), (2, 1, 3.0), (0, 2, 2.0), (1, 2, 1.0)]  # mean 3
NOBODY = _support([], [])
EPISODES = _episodes(NOBODY, [1], [3.0])


def test_constant_is_the_mean() -> None:
    model = Constant.fit(_history(ROWS), _backbone(), EPISODES, Empty(), 0)
    assert model.score_catalogue(model.adapt(NOBODY)).mean.tolist() == [[3.0] * N]


def _item_means(rows: list[tuple[int, int, float]]) -> list[float]:
    model = ItemMean.fit(_history(rows), _backbone(), EPISODES, Empty(), 0)
    return list(model.score_catalogue(model.adapt(NOBODY)).mean[0].tolist())


def test_item_mean_is_damped_by_the_ratio_of_the_two_variances() -> None:
    """Within (2 + .5) / 3; between (7.5 - 2.5 / 3) / 2.4 with 2.4 = 5 - 13 / 5; damping .3."""
    history = _history(ROWS)
    within, between = variance_components(history.items_R, history.targets_R.double())
    assert (within, between) == pytest.approx((2.5 / 3, 20 / 7.2))
    expected = [3.0, (12 + 0.3 * 3) / 3.3, (3 + 0.3 * 3) / 2.3, 3.0]
    assert _item_means(ROWS) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(0, 1, 5.0), (1, 1, 1.0), (0, 2, 4.0), (1, 2, 2.0)], [3.0] * N),  # items alike
        ([(0, 1, 5.0), (0, 2, 4.0)], [4.5] * N),  # no item twice: items or noise, nobody knows
        ([(0, 1, 5.0), (1, 1, 2.0)], [3.5] * N),  # one item
        ([(0, 1, 4.0), (1, 1, 4.0), (0, 2, 4.0)], [4.0] * N),  # no variance at all
        ([(0, 1, 5.0), (1, 1, 5.0), (0, 2, 2.0)], [4.0, 5.0, 2.0, 4.0]),  # no noise
    ],
)
def test_item_mean_where_a_variance_is_zero(
    rows: list[tuple[int, int, float]], expected: list[float]
) -> None:
    assert _item_means(rows) == pytest.approx(expected)


def test_the_variances_are_found_again() -> None:
    """2000 items with 1 to 30 ratings, drawn with variance 1 within and .25 between."""
    generator = torch.Generator().manual_seed(0)
    count_N = torch.randint(1, 31, (2000,), generator=generator)
    items_R = torch.repeat_interleave(torch.arange(2000), count_N)
    item_N = torch.randn(2000, generator=generator).double() / 2
    targets_R = item_N[items_R] + torch.randn(len(items_R), generator=generator).double()
    assert variance_components(items_R, targets_R) == pytest.approx((1.0, 0.25), rel=0.05)


def test_popularity_ranks_by_count_and_predicts_the_mean() -> None:
    model = Popularity.fit(_history(ROWS), _backbone(), EPISODES, Empty(), 0)
    score = model.score_catalogue(model.adapt(NOBODY)).mean[0]
    assert score.argsort(descending=True)[:2].tolist() == [1, 2]
    assert score[0] == score[3]
    assert float(score.max() - score.min()) == pytest.approx(SPAN, abs=1e-6)
    assert float(score[_history(ROWS).items_R].mean()) == pytest.approx(3.0, abs=1e-6)


def test_random_is_uniform_on_the_scale_and_differs_between_users_items_and_seeds() -> None:
    model = Random.fit(_history(ROWS), _backbone(), EPISODES, Empty(), 0)
    model = Random(n_items=2000, low=model.low, high=model.high, seed=0)
    assert (model.low, model.high) == (1.0, 5.0)
    one, other = model.adapt(_support([1], [5.0])), model.adapt(_support([2], [5.0]))
    here, there = model.score_catalogue(one).mean[0], model.score_catalogue(other).mean[0]
    ranked = here.sort().values.double()
    uniform = torch.linspace(1, 5, 2000).double()
    assert float((ranked - uniform).abs().max()) < 4 * 1.95 / 2000**0.5  # Kolmogorov, p = .001
    assert abs(float(torch.corrcoef(torch.stack([here, there]))[0, 1])) < 0.08
    again = Random(n_items=2000, low=1.0, high=5.0, seed=1)
    assert not torch.equal(again.score_catalogue(again.adapt(_support([1], [5.0]))).mean[0], here)


def test_offsets_are_damped_means_of_what_the_other_side_leaves() -> None:
    history = _history([*ROWS, (2, 2, 4.0), (2, 3, 5.0)])
    fitted = fit_offsets(
        history, BiasParams(item_damping=2.0, user_damping=3.0, attribute_penalty=1.0)
    )
    mean = float(history.targets_R.mean())
    of_two = [0, 1, 2]  # users who rated item 2, with targets 2, 1 and 4
    left = 7.0 - 3 * mean - float(fitted.user_U[of_two].sum())
    assert float(fitted.item_N[2]) - mean == pytest.approx(left / (3 + 2), abs=1e-3)
    assert float(fitted.user_U.sum()) == pytest.approx(0.0, abs=1e-6)


def test_bias_adds_the_damped_mean_residual_of_the_support() -> None:
    history = _history([*ROWS, (2, 2, 4.0), (2, 3, 5.0)])
    params = BiasParams(item_damping=2.0, user_damping=3.0, attribute_penalty=1.0)
    model = Bias.fit(history, _backbone(), EPISODES, params, 0)
    support = _support([1, 3], [5.0, 5.0])
    rest = 10.0 - float(model.item_N[1] + model.item_N[3])
    expected = model.item_N + rest / (2 + 3)
    torch.testing.assert_close(model.score_catalogue(model.adapt(support)).mean[0], expected)
    torch.testing.assert_close(model.score_catalogue(model.adapt(NOBODY)).mean[0], model.item_N)


def test_bias_reads_attributes_when_there_is_no_rating() -> None:
    rows = [(u, i, 4.0 if u < 10 else 2.0) for u in range(20) for i in (1, 2, 3)]
    attributes = torch.tensor([[0.5]] * 10 + [[-0.5]] * 10)
    params = BiasParams(item_damping=0.01, user_damping=0.01, attribute_penalty=0.01)
    model = Bias.fit(_history(rows, attributes), _backbone(), EPISODES, params, 0)
    kind = _support([], [])._replace(users_BF=torch.tensor([[0.5]]))
    assert float(model.score(model.adapt(kind), torch.tensor([[2]])).mean) == pytest.approx(
        4.0, abs=0.02
    )


def _ridge() -> tuple[Ridge, Backbone, Support]:
    backbone = _backbone()
    support = _support([2, 3], [4.0, 1.5])._replace(users_BF=torch.tensor([[0.3, -1.0]]))
    validation = _episodes(support, [1, 3], [3.0, 4.0])
    params = RidgeParams(bias_penalty=2.0, factor_penalty=5.0)
    return Ridge.fit(_history(ROWS), backbone, validation, params, 0), backbone, support


def test_ridge_equals_numpy_normal_equations() -> None:
    model, backbone, support = _ridge()
    f = backbone.features_CND[0, [2, 3]].double().numpy()
    prior = (support.users_BF[0] @ backbone.prior_FD).double().numpy()
    penalty = np.diag([2.0, 5.0, 5.0])
    y = support.targets_BS[0].double().numpy() - backbone.offset_CN[0, [2, 3]].double().numpy()
    w = np.linalg.solve(f.T @ f + penalty, f.T @ y + penalty @ prior)
    query = backbone.features_CND[0, [1]].double().numpy()
    mean, variance = model.score(model.adapt(support), torch.tensor([[1]]))
    assert variance is not None
    assert float(mean) == pytest.approx(float(backbone.offset_CN[0, 1]) + (query @ w)[0], abs=1e-5)
    inner = query @ np.linalg.solve(f.T @ f + penalty, query.T)
    assert float(variance) == pytest.approx(model.noise * (1 + float(inner[0, 0])), rel=1e-5)


def test_ridge_noise_maximises_the_validation_likelihood() -> None:
    model, _, support = _ridge()
    validation = _episodes(support, [1, 3], [3.0, 4.0])

    def log_likelihood(noise: float) -> float:
        scaled = Ridge(
            model.item_N, model.features_ND, model.prior_FD, model.penalty_D, noise=noise
        )
        total = 0.0
        for k in (0, 1, 2):
            mean, variance = scaled.score(scaled.adapt(support.first(k)), validation.items_BQ)
            assert variance is not None
            error = (mean - validation.targets_BQ).square()
            total -= float((error / variance + variance.log()).sum()) / 2
        return total

    best = log_likelihood(model.noise)
    assert best > log_likelihood(model.noise * 1.1)
    assert best > log_likelihood(model.noise / 1.1)


def test_ridge_without_ratings_predicts_from_attributes() -> None:
    model, backbone, support = _ridge()
    prior = support.users_BF[0] @ backbone.prior_FD
    expected = backbone.offset_CN[0] + backbone.features_CND[0] @ prior
    state = model.adapt(support.first(0))
    torch.testing.assert_close(model.score_catalogue(state).mean[0], expected)


def test_itemknn_similarity_and_prediction_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without offsets: users (2, 1), (-1, -2), (3, none) on items 1 and 2."""
    history = _history([(0, 1, 2.0), (0, 2, 1.0), (1, 1, -1.0), (1, 2, -2.0), (2, 1, 3.0)])
    none = Offsets(torch.zeros(N), torch.zeros(0), torch.zeros(3))
    monkeypatch.setattr("coldstart.baselines.itemknn.fit_offsets", lambda *_: none)
    params = ItemKNNParams(
        neighbours=2,
        shrinkage=2.0,
        damping=0.5,
        item_damping=1.0,
        user_damping=1e9,
        attribute_penalty=1.0,
    )
    model = ItemKNN.fit(history, _backbone(), EPISODES, params, 0)
    similarity = (2 + 2) / (2 + 2) / ((14 / 3) * (5 / 2)) ** 0.5  # variances 14 / 3 and 5 / 2
    support = _support([1], [3.0])
    score = model.score(model.adapt(support), torch.tensor([[2, 3, 1]])).mean[0]
    expected = [similarity * 3 / (0.5 + similarity), 0.0, 0.0]  # nothing is its own neighbour
    assert score.tolist() == pytest.approx(expected, abs=1e-6)


def test_itemknn_without_ratings_is_the_item_offset() -> None:
    params = ItemKNNParams(
        neighbours=2,
        shrinkage=2.0,
        damping=0.5,
        item_damping=1.0,
        user_damping=3.0,
        attribute_penalty=1.0,
    )
    model = ItemKNN.fit(_history(ROWS), _backbone(), EPISODES, params, 0)
    torch.testing.assert_close(model.score_catalogue(model.adapt(NOBODY)).mean[0], model.item_N)
