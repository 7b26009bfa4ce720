"""DeepFM: the pairs of fields, the hidden id, what it learns, and the backbone made of it."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
import torch

from coldstart.data.episodes import Episodes, History
from coldstart.data.prepared import Prepared
from coldstart.models.backbones.deepfm import fit_deepfm_backbone
from coldstart.models.deepfm import (
    DeepFM,
    fit_deepfm,
    initial_weights,
    training_loss,
    without_ids,
)
from coldstart.models.descent import Weights, first_offsets
from coldstart.params import DeepFMParams, load_params

PRETRAIN = load_params(Path(__file__).parents[2] / "params.yaml").pretrain
PARAMS = DeepFMParams(
    factors=4,
    hidden=8,
    epochs=6,
    batch_size=128,
    learning_rate=0.01,
    weight_decay=0.01,
    dropout=0.0,
    unknown_share=1.0,
)


@pytest.fixture(scope="module")
def history(prepared: Prepared) -> History:
    return prepared.history(0)


@pytest.fixture(scope="module")
def validation(prepared: Prepared) -> Episodes:
    return prepared.eval_episodes(0, "validation")


@pytest.fixture(scope="module")
def fitted(history: History, validation: Episodes) -> DeepFM:
    return fit_deepfm(history, validation, PARAMS, 0, "test")


@pytest.fixture(scope="module")
def weights(history: History) -> Weights:
    """All of them random: the first ones are zero in part."""
    generator = torch.Generator().manual_seed(1)
    start = initial_weights(history, PARAMS, generator)
    return {name: torch.randn(w.shape, generator=generator) / 2 for name, w in start.items()}


def _loss(weights: Weights, history: History, rows: torch.Tensor, unknown: float) -> torch.Tensor:
    params = PARAMS.model_copy(update={"unknown_share": unknown})
    generator = torch.Generator().manual_seed(0)
    return training_loss(weights, first_offsets(history), history, rows, params, generator)


@pytest.mark.parametrize("known", [True, False])
def test_the_loss_is_that_of_every_pair_of_fields_and_the_network(
    history: History, weights: Weights, known: bool
) -> None:
    row = 100
    user, item = int(history.users_R[row]), int(history.items_R[row])
    side, x = history.item_features_NG[item], history.user_features_UF[user]
    w = weights
    fields = [
        w["item_NE"][item], side @ w["item_GE"], x @ w["user_FE"], w["user_UE"][user] * known,
    ]  # fmt: skip
    score = first_offsets(history)[item] + w["offset_N"][item] + side @ w["offset_G"]
    score = score + x @ w["offset_F"] + w["offset_U"][user] * known
    score = score + sum(a @ b for a, b in combinations(fields, 2))
    hidden = sum(field @ w["first_4EH"][place] for place, field in enumerate(fields))
    hidden = (torch.relu(hidden + w["first_H"]) @ w["middle_HH"] + w["middle_H"]).relu()
    expected = (score + hidden @ w["output_H"] - history.targets_R[row]).square()
    found = _loss(weights, history, torch.tensor([row]), 1.0 - known)
    torch.testing.assert_close(found, expected)


def test_it_serves_a_user_without_id_as_it_trains_them(history: History, weights: Weights) -> None:
    rows = torch.arange(0, 1000, 50)
    model = without_ids(weights, first_offsets(history), history.item_features_NG)
    users = history.user_features_UF[history.users_R[rows]]
    score = model.score(users, history.items_R[rows][:, None])[:, 0]
    loss = (score - history.targets_R[rows]).square().mean()
    torch.testing.assert_close(_loss(weights, history, rows, 1.0), loss)


def test_a_hidden_id_learns_nothing(history: History, weights: Weights) -> None:
    own = {name: w.clone().requires_grad_() for name, w in weights.items()}
    _loss(own, history, torch.arange(64), 1.0).backward()  # type: ignore[no-untyped-call]
    for name in ("user_UE", "offset_U"):
        assert float(own[name].grad.abs().sum()) == 0.0  # type: ignore[union-attr]
    assert float(own["user_FE"].grad.abs().sum()) > 0.0  # type: ignore[union-attr]


def test_attributes_predict_validation_users_better_than_item_means(
    history: History, validation: Episodes, fitted: DeepFM
) -> None:
    def error(score: torch.Tensor) -> float:
        return float((score - validation.targets_BQ).square().mean())

    found = error(fitted.score(validation.support.users_BF, validation.items_BQ))
    assert found < error(first_offsets(history)[validation.items_BQ]) - 0.02


def test_the_seed_decides(history: History, validation: Episodes, fitted: DeepFM) -> None:
    torch.manual_seed(123)  # global state must not matter
    again = fit_deepfm(history, validation, PARAMS, 0, "test")
    assert all(torch.equal(a, b) for a, b in zip(again, fitted, strict=True))
    other = fit_deepfm(history, validation, PARAMS, 1, "test")
    assert not torch.equal(other.features_NE, fitted.features_NE)


def test_the_backbone_is_the_model_but_for_the_network_on_attributes(
    history: History, validation: Episodes, fitted: DeepFM
) -> None:
    params = PRETRAIN.model_copy(update={"deepfm": PARAMS})
    backbone = fit_deepfm_backbone(history, validation, params, 0)
    assert backbone.features_CND.shape == (1, history.n_items, 5)
    assert torch.equal(backbone.features_CND[..., 0], torch.ones(1, history.n_items))
    assert int(backbone.group_U.abs().sum()) == 0
    for value in backbone.to_bundle().tensors.values():
        assert not value.requires_grad
        assert value.isfinite().all()
    nobody, users = torch.zeros(1, history.user_features_UF.shape[1]), validation.support.users_BF
    items = torch.arange(history.n_items)
    torch.testing.assert_close(backbone.offset_CN, fitted.score(nobody, items))
    linear = fitted._replace(output_H=torch.zeros(8))
    w_BD = users @ backbone.prior_FD
    moved_BN = w_BD @ backbone.features_CND[0].T
    torch.testing.assert_close(
        moved_BN, linear.score(users, items) - linear.item_N, atol=1e-5, rtol=1e-4
    )
