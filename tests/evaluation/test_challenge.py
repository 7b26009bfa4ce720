"""A champion from other data: its rows and its user features are not today's."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch import Tensor

from coldstart.data.features import UserEncoder
from coldstart.data.prepared import Prepared
from coldstart.data.units import Unit
from coldstart.evaluation.challenge import evaluate_bundle_on, measure_adapt_ms
from coldstart.evaluation.evaluation_set import EvaluationSet
from coldstart.evaluation.protocol import evaluate
from coldstart.params import Params

from .conftest import Fixed


def _own(prepared: Prepared) -> tuple[UserEncoder, Unit]:
    """What a method of this very data reads by."""
    return prepared.encoder, prepared.unit(0)


@pytest.fixture
def own(cold: EvaluationSet, params: Params, item_means: Tensor) -> pd.DataFrame:
    method = Fixed(item_means, adapts=True)
    return evaluate(method, cold, params.prepare.shots, catalogue=True).users


def test_a_catalogue_in_another_order_changes_no_prediction(
    prepared: Prepared, params: Params, item_means: Tensor, own: pd.DataFrame
) -> None:
    order = torch.cat([torch.zeros(1).long(), torch.randperm(60) + 1])
    keys = prepared.items["key"].to_numpy()[order.numpy()].tolist()
    method = Fixed(item_means[order], adapts=True)
    found = evaluate_bundle_on(
        prepared, method, keys, prepared.encoder, prepared.unit(0), params, 0
    )
    columns = ["user", "k", "mse", "mae"]  # lists differ where scores are equal
    pd.testing.assert_frame_equal(found[columns], own[columns])


def test_a_method_keeps_the_unit_that_it_was_fitted_in(
    prepared: Prepared, params: Params, item_means: Tensor, own: pd.DataFrame
) -> None:
    """Rating points, say: it predicts the same ratings with another number for each."""
    keys = prepared.items["key"].tolist()
    points = prepared.unit(0).outside(item_means).float()
    method = Fixed(points, adapts=True)
    found = evaluate_bundle_on(prepared, method, keys, prepared.encoder, Unit(), params, 0)
    columns = ["user", "k", "mse", "mae"]
    pd.testing.assert_frame_equal(found[columns], own[columns], rtol=1e-4)


def test_an_item_it_never_saw_is_the_unknown_one(
    prepared: Prepared, params: Params, item_means: Tensor
) -> None:
    """It knows no item at all, so it predicts the unknown item's score everywhere."""
    alone = Fixed(torch.tensor([2.0]))
    found = evaluate_bundle_on(prepared, alone, [""], *_own(prepared), params, 0)
    flat = Fixed(torch.full((61,), 2.0))
    keys = prepared.items["key"].tolist()
    same = evaluate_bundle_on(prepared, flat, keys, *_own(prepared), params, 0)
    assert found["mse"].tolist() == same["mse"].tolist()


def test_lists_are_of_the_methods_own_catalogue(
    prepared: Prepared, params: Params, cold: EvaluationSet
) -> None:
    """What it never saw it cannot recommend; the rest is found wherever its rows lie."""
    scores = torch.linspace(5, 1, 61)  # no ties
    whole = evaluate(Fixed(scores), cold, params.prepare.shots, catalogue=True).users
    order = torch.cat([torch.zeros(1).long(), torch.arange(60, 0, -1)])
    keys = prepared.items["key"].to_numpy()[order.numpy()].tolist()
    found = evaluate_bundle_on(
        prepared, Fixed(scores[order]), keys, prepared.encoder, prepared.unit(0), params, 0
    )
    columns = ["user", "k", "list_recall@10", "list_ndcg@10", "popular@10"]
    pd.testing.assert_frame_equal(found[columns], whole[columns])
    few = evaluate_bundle_on(
        prepared, Fixed(scores[:3]), keys[-3:], prepared.encoder, prepared.unit(0), params, 0
    )
    assert few["list_recall@10"].max() < 1


def test_users_are_encoded_as_it_was_trained(prepared: Prepared, params: Params) -> None:
    seen: list[torch.Size] = []

    class Looks(Fixed):
        def adapt(self, support):  # type: ignore[no-untyped-def]
            seen.append(support.users_BF.shape)
            return super().adapt(support)

    nothing = UserEncoder(columns=(), dropped={})
    keys = prepared.items["key"].tolist()
    evaluate_bundle_on(prepared, Looks(torch.ones(61)), keys, nothing, prepared.unit(0), params, 0)
    assert {shape[1] for shape in seen} == {0}


def test_latency_is_a_positive_number_of_milliseconds(
    prepared: Prepared, params: Params, item_means: Tensor
) -> None:
    assert 0 < measure_adapt_ms(Fixed(item_means), prepared, params) < 10_000
