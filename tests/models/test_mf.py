"""Matrix factorisation against numpy, one row at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from coldstart.data.prepared import Prepared
from coldstart.models.backbone import Backbone
from coldstart.models.backbones.mf import (
    Factorisation,
    Ratings,
    constant_first,
    fit_mf,
    ridge,
    side_map,
    user_groups,
)
from coldstart.models.bundle import Bundle
from coldstart.params import MFParams, load_params

MF = MFParams(
    factors=3,
    sweeps=4,
    user_penalty=2.0,
    item_penalty=3.0,
    bias_penalty=1.5,
    side_penalty=5.0,
    crossfit=4,
)
PRETRAIN = load_params(Path(__file__).parents[2] / "params.yaml").pretrain
PARAMS = PRETRAIN.model_copy(update={"mf": MF})


@pytest.fixture(scope="module")
def model(prepared: Prepared) -> Factorisation:
    history = prepared.history(0)
    users = np.unique(history.users_R.numpy())
    model = Factorisation.start(history, users, MF, seed=1)
    model.sweep()
    return model


@pytest.fixture(scope="module")
def backbone(prepared: Prepared) -> Backbone:
    return fit_mf(prepared.history(0), prepared.eval_episodes(0, "validation"), PARAMS, seed=0)


def _one_item(model: Factorisation, item: int, users: np.ndarray) -> np.ndarray:
    """The item's regression on the ratings of ``users``, by stacked least squares."""
    row = model.by_item.values[[item]].toarray()[0]
    rated = model.by_item.pattern[[item]].toarray()[0] > 0
    keep = np.flatnonzero(rated & np.isin(np.arange(len(row)), users))
    x = constant_first(model.w)[keep]
    root = np.sqrt(model.item_penalty)
    prior = model.f[item] @ model.item_map
    left = np.vstack([x, np.diag(root)])
    right = np.concatenate([row[keep] - model.w[keep, 0], root * prior])
    return np.linalg.lstsq(left, right, rcond=None)[0]


@pytest.mark.parametrize("item", [0, 1, 17])
def test_an_item_step_solves_the_regression_of_each_item(model: Factorisation, item: int) -> None:
    z = model.item_step(*model.item_moments(model.by_item, slice(None)))
    everybody = np.arange(len(model.w))
    np.testing.assert_allclose(z[item], _one_item(model, item, everybody), atol=1e-9)


@pytest.mark.parametrize("item", [2, 31])
def test_a_cross_fitted_item_equals_a_refit_without_the_group(
    model: Factorisation, item: int
) -> None:
    group = user_groups(len(model.w), 4, seed=0)
    gram, moment = model.item_moments(model.by_item, slice(None))
    rows = np.flatnonzero(group == 2)
    gram_g, moment_g = model.item_moments(model.by_item.columns(rows), rows)
    z = model.item_step(gram - gram_g, moment - moment_g)
    np.testing.assert_allclose(
        z[item], _one_item(model, item, np.flatnonzero(group != 2)), atol=1e-9
    )


def test_a_table_of_the_backbone_is_a_refit_without_its_group(
    prepared: Prepared, backbone: Backbone
) -> None:
    """Every item of every table, from the ratings of the other groups alone."""
    history = prepared.history(0)
    users = np.unique(history.users_R.numpy())
    model = Factorisation.start(history, users, MF, seed=0)
    for _ in range(MF.sweeps):
        model.sweep()
    group = backbone.group_U.numpy()[users]
    for table in range(5):
        others = np.flatnonzero(group != table)  # nobody is in group 0
        z = np.stack([_one_item(model, item, others) for item in range(prepared.n_items)])
        features = constant_first(z)
        np.testing.assert_allclose(backbone.features_CND[table], features, atol=1e-5)
        offset = z[:, 0] + features @ model.user_map[0]
        np.testing.assert_allclose(backbone.offset_CN[table], offset, atol=1e-5)


def test_ridge_is_the_prior_without_ratings_and_least_squares_without_penalty() -> None:
    rng = np.random.default_rng(0)
    prior, penalty = rng.normal(size=(1, 3)), np.full(3, 2.0)
    nothing = ridge(np.zeros((1, 3, 3)), np.zeros((1, 3)), prior, penalty)
    np.testing.assert_allclose(nothing, prior)
    x, y = rng.normal(size=(9, 3)), rng.normal(size=9)
    fitted = ridge((x.T @ x)[None], (x.T @ y)[None], prior, np.full(3, 1e-12))
    np.testing.assert_allclose(fitted[0], np.linalg.lstsq(x, y, rcond=None)[0], atol=1e-9)


def test_the_constant_of_a_side_map_is_not_shrunk() -> None:
    side = np.hstack([np.ones((6, 1)), np.array([[-1.0, 1, -1, 1, -1, 1]]).T])
    factors = side @ np.array([[7.0], [2.0]])
    fitted = side_map(side, factors, penalty=6.0)
    np.testing.assert_allclose(fitted[:, 0], [7.0, 2.0 * 6 / 12])


def test_sweeps_lower_the_objective(prepared: Prepared) -> None:
    history = prepared.history(0)
    model = Factorisation.start(history, np.unique(history.users_R.numpy()), MF, seed=1)

    def objective() -> float:
        users, items = model.by_user.values.nonzero()
        fitted = model.z[items, 0] + (model.w[users] * constant_first(model.z)[items]).sum(1)
        loss = ((model.by_user.values[users, items] - fitted) ** 2).sum()
        for value, side, weights, penalty in (
            (model.w, model.x, model.user_map, model.user_penalty),
            (model.z, model.f, model.item_map, model.item_penalty),
        ):
            loss += (penalty * (value - side @ weights) ** 2).sum()
        return float(loss)

    values = []
    for _ in range(6):
        model.sweep()
        values.append(objective())
    assert values[-1] < values[0]
    assert abs(values[-1] - values[-2]) < abs(values[1] - values[0])


def test_the_backbone_has_the_documented_shapes(prepared: Prepared, backbone: Backbone) -> None:
    history = prepared.history(0)
    n_features = prepared.user_features_UF.shape[1]
    assert backbone.features_CND.shape == (5, prepared.n_items, 4)
    assert torch.equal(backbone.features_CND[..., 0], torch.ones(5, prepared.n_items))
    assert backbone.offset_CN.shape == backbone.count_CN.shape == (5, prepared.n_items)
    assert backbone.prior_FD.shape == (n_features, 4)
    historical = torch.zeros(prepared.n_users, dtype=torch.bool)
    historical[history.users_R] = True
    assert torch.equal(backbone.group_U > 0, historical)
    assert int(backbone.group_U.max()) == 4
    assert all(t.dtype == torch.float32 for t in (backbone.features_CND, backbone.offset_CN))


def test_counts_leave_out_the_group(prepared: Prepared, backbone: Backbone) -> None:
    history = prepared.history(0)
    kept = backbone.group_U[history.users_R] != 3
    expected = torch.bincount(history.items_R[kept], minlength=history.n_items).float()
    assert torch.equal(backbone.count_CN[3], expected)


def test_an_unrated_item_is_served_from_its_side_information(prepared: Prepared) -> None:
    """Items of one genre share a prior; without ratings nothing else tells them apart."""
    history = prepared.history(0)
    side = history.item_features_NG.clone()
    side[5] = side[9]
    kept = (history.items_R != 5) & (history.items_R != 9)
    bare = history._replace(
        users_R=history.users_R[kept],
        items_R=history.items_R[kept],
        targets_R=history.targets_R[kept],
        item_features_NG=side,
    )
    fitted = fit_mf(bare, prepared.eval_episodes(0, "validation"), PARAMS, seed=0)
    assert torch.equal(fitted.features_CND[:, 5], fitted.features_CND[:, 9])
    assert not torch.allclose(fitted.features_CND[0, 5], fitted.features_CND[0, 0])


def test_without_cross_fitting_there_is_one_table(prepared: Prepared) -> None:
    params = PARAMS.model_copy(update={"mf": MF.model_copy(update={"crossfit": 1})})
    fitted = fit_mf(prepared.history(0), prepared.eval_episodes(0, "validation"), params, seed=0)
    assert len(fitted.features_CND) == 1
    assert int(fitted.group_U.max()) == 0


def test_groups_are_of_equal_size() -> None:
    sizes = np.bincount(user_groups(103, 20, seed=5), minlength=21)
    assert sizes[0] == 0
    assert set(sizes[1:]) == {5, 6}


def test_the_seed_decides(prepared: Prepared, backbone: Backbone) -> None:
    history, validation = prepared.history(0), prepared.eval_episodes(0, "validation")
    again = fit_mf(history, validation, PARAMS, seed=0)
    other = fit_mf(history, validation, PARAMS, seed=1)
    assert torch.equal(again.features_CND, backbone.features_CND)
    assert not torch.equal(other.features_CND, backbone.features_CND)


def test_a_bundle_brings_back_the_same_backbone(
    backbone: Backbone, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("bundle")
    backbone.to_bundle().save(folder)
    back = Backbone.from_bundle(Bundle.load(folder))
    assert back.kind == "mf"
    for name, value in backbone.to_bundle().tensors.items():
        assert torch.equal(getattr(back, name), value)


@pytest.mark.parametrize(("n_users", "n_items"), [(40, 7), (7, 40)])
def test_items_sums_have_the_same_bits_however_the_ratings_are_gone_through(
    n_users: int, n_items: int
) -> None:
    rng = np.random.default_rng(0)
    rated_UN = rng.random((n_users, n_items)) < 0.4
    rated_UN[:, 3] = False  # an item without any rating
    users_R, items_R = np.nonzero(rated_UN)
    y_R, shape = rng.normal(size=len(users_R)), (n_users, n_items)
    by_user, by_item = Ratings.of_both(users_R, items_R, y_R, shape)
    direct = Ratings.of(items_R, users_R, y_R, shape[::-1])
    design_UD, offset_U = rng.normal(size=(n_users, 3)), rng.normal(size=n_users)
    some = np.sort(rng.permutation(n_users)[:4])
    for found, same in ((by_item, direct), (by_item.columns(some), direct.columns(some))):
        rows = slice(None) if found is by_item else some
        expected = same.moments(design_UD[rows], offset_U[rows])
        for mine, theirs in zip(
            found.moments(design_UD[rows], offset_U[rows]), expected, strict=True
        ):
            np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_array_equal(found.count, rated_UN[rows].sum(0))
    np.testing.assert_array_equal(by_user.count, rated_UN.sum(1))
    np.testing.assert_array_equal(by_user.values.toarray(), by_item.values.toarray().T)
