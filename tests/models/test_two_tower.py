"""The two-tower backbone: documented shapes, determinism, and that it learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from coldstart.data.prepared import Prepared
from coldstart.models.backbone import Backbone
from coldstart.models.backbones.two_tower import TwoTower, fit_two_tower, initial_weights
from coldstart.params import TwoTowerParams, load_params

TOWERS = TwoTowerParams(
    factors=4,
    hidden=8,
    epochs=6,
    batch_size=256,
    learning_rate=0.01,
    weight_decay=0.0001,
    dropout=0.1,
)
PRETRAIN = load_params(Path(__file__).parents[2] / "params.yaml").pretrain
PARAMS = PRETRAIN.model_copy(update={"two_tower": TOWERS})


@pytest.fixture(scope="module")
def backbone(prepared: Prepared) -> Backbone:
    return fit_two_tower(
        prepared.history(0), prepared.eval_episodes(0, "validation"), PARAMS, seed=0
    )


def test_the_backbone_has_the_documented_shapes(prepared: Prepared, backbone: Backbone) -> None:
    assert backbone.features_CND.shape == (1, prepared.n_items, 5)
    assert torch.equal(backbone.features_CND[..., 0], torch.ones(1, prepared.n_items))
    assert backbone.offset_CN.shape == backbone.count_CN.shape == (1, prepared.n_items)
    assert backbone.prior_FD.shape == (prepared.user_features_UF.shape[1], 5)
    assert int(backbone.group_U.abs().sum()) == 0
    for value in backbone.to_bundle().tensors.values():
        assert not value.requires_grad
        assert value.isfinite().all()


def test_the_seed_decides(prepared: Prepared, backbone: Backbone) -> None:
    history, validation = prepared.history(0), prepared.eval_episodes(0, "validation")
    torch.manual_seed(123)  # global state must not matter
    again = fit_two_tower(history, validation, PARAMS, seed=0)
    assert torch.equal(again.features_CND, backbone.features_CND)
    assert torch.equal(again.prior_FD, backbone.prior_FD)


def test_training_lowers_the_validation_error(prepared: Prepared, backbone: Backbone) -> None:
    """The trained offset and prior beat the first ones for users without any rating."""
    history, validation = prepared.history(0), prepared.eval_episodes(0, "validation")
    weights = initial_weights(history, TOWERS, torch.Generator().manual_seed(0))
    nobody = validation._replace(support=validation.support.first(0))
    before = float(TwoTower(history, 0.0).errors(weights, nobody))
    w_BD = validation.support.users_BF @ backbone.prior_FD
    f_BQD = backbone.features_CND[0][validation.items_BQ]
    score = backbone.offset_CN[0][validation.items_BQ] + (f_BQD @ w_BD[..., None])[..., 0]
    assert float((score - validation.targets_BQ).square().mean()) < before


def test_padding_changes_nothing(prepared: Prepared) -> None:
    history = prepared.history(0)
    weights = initial_weights(history, TOWERS, torch.Generator().manual_seed(0))
    support = prepared.eval_episodes(0, "validation").support
    wide = support._replace(
        items_BS=torch.nn.functional.pad(support.items_BS, (0, 3)),
        targets_BS=torch.nn.functional.pad(support.targets_BS, (0, 3), value=9.0),
        mask_BS=torch.nn.functional.pad(support.mask_BS, (0, 3)),
    )
    model = TwoTower(history, 0.0)
    torch.testing.assert_close(
        model.users(weights, wide, None), model.users(weights, support, None)
    )
