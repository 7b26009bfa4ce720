"""A version as it is served: its rows and its user features are not today's."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from torch import Tensor

from coldstart.data.everyone import everyone, marks
from coldstart.data.features import UserEncoder
from coldstart.data.prepared import Prepared
from coldstart.data.units import Unit
from coldstart.evaluation import as_served
from coldstart.evaluation.as_served import (
    evaluate_served,
    measure_adapt_ms,
    new_to,
    newcomers,
    with_all_ratings,
)
from coldstart.evaluation.evaluation_set import EvaluationSet, evaluation_set
from coldstart.evaluation.protocol import evaluate
from coldstart.params import Params
from coldstart.served import Facts, Served

from .conftest import Fixed


def results(
    method: Fixed,
    keys: list[str],
    encoder: UserEncoder,
    prepared: Prepared,
    params: Params,
    unit: Unit | None = None,
) -> pd.DataFrame:
    """Of a version with this catalogue and encoder on the cold users of fold 0."""
    facts = Facts("tiny", "fixed", "rating", 1.0, 5.0, like=4.0, unit=unit or prepared.unit(0))
    served = Served(method, facts, keys, keys, encoder)
    target = evaluation_set(prepared, params, 0, "cold")
    return evaluate_served(served, target, prepared, params)


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
    found = results(method, keys, prepared.encoder, prepared, params)
    columns = ["user", "k", "mse", "mae"]  # lists differ where scores are equal
    pd.testing.assert_frame_equal(found[columns], own[columns])


def test_a_method_keeps_the_unit_that_it_was_fitted_in(
    prepared: Prepared, params: Params, item_means: Tensor, own: pd.DataFrame
) -> None:
    """Rating points, say: it predicts the same ratings with another number for each."""
    keys = prepared.items["key"].tolist()
    points = prepared.unit(0).outside(item_means).float()
    method = Fixed(points, adapts=True)
    found = results(method, keys, prepared.encoder, prepared, params, Unit())
    columns = ["user", "k", "mse", "mae"]
    pd.testing.assert_frame_equal(found[columns], own[columns], rtol=1e-4)


def test_an_item_it_never_saw_is_the_unknown_one(
    prepared: Prepared, params: Params, item_means: Tensor
) -> None:
    """It knows no item at all, so it predicts the unknown item's score everywhere."""
    alone = Fixed(torch.tensor([2.0]))
    found = results(alone, [""], prepared.encoder, prepared, params)
    flat = Fixed(torch.full((61,), 2.0))
    keys = prepared.items["key"].tolist()
    same = results(flat, keys, prepared.encoder, prepared, params)
    assert found["mse"].tolist() == same["mse"].tolist()


@pytest.mark.parametrize("order", [range(1, 61), range(60, 0, -1)])
def test_lists_are_of_the_methods_own_catalogue(
    prepared: Prepared, params: Params, cold: EvaluationSet, order: range
) -> None:
    """What it never saw it cannot recommend; the rest is found wherever its rows lie."""
    scores = torch.linspace(5, 1, 61)  # no ties
    whole = evaluate(Fixed(scores), cold, params.prepare.shots, catalogue=True).users
    rows = torch.tensor([0, *order])
    keys = prepared.items["key"].to_numpy()[rows.numpy()].tolist()
    found = results(Fixed(scores[rows]), keys, prepared.encoder, prepared, params)
    columns = [
        "user", "k", "list_recall@10", "list_ndcg@10", "popular@10", "novelty",
        "list_recall_head@10", "list_recall_middle@10", "list_recall_tail@10",
    ]  # fmt: skip
    pd.testing.assert_frame_equal(found[columns], whole[columns])
    few = results(Fixed(scores[:3]), keys[-3:], prepared.encoder, prepared, params)
    assert few["list_recall@10"].max() < 1


def test_users_are_encoded_as_it_was_trained(prepared: Prepared, params: Params) -> None:
    seen: list[torch.Size] = []

    class Looks(Fixed):
        def adapt(self, support):  # type: ignore[no-untyped-def]
            seen.append(support.users_BF.shape)
            return super().adapt(support)

    nothing = UserEncoder(columns=(), dropped={})
    keys = prepared.items["key"].tolist()
    results(Looks(torch.ones(61)), keys, nothing, prepared, params)
    assert {shape[1] for shape in seen} == {0}


def test_latency_is_a_positive_number_of_milliseconds(
    cold: EvaluationSet, item_means: Tensor
) -> None:
    assert 0 < measure_adapt_ms(Fixed(item_means), cold.episodes.support) < 10_000


def test_the_cost_is_the_median_of_what_comes_after_a_warm_up(
    cold: EvaluationSet, item_means: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock on which turns take 9 s at first, and then 1, 2, 3 ... thousandths of one."""
    warm_up, repeats = as_served._WARM_UP, as_served._REPEATS
    taken = [9.0] * warm_up + [0.001 * n for n in range(1, repeats + 1)]
    clock = iter([time for second in taken for time in (0.0, second)])
    monkeypatch.setattr(as_served, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    listed = []

    def spy(scores_BN: Tensor, support_BS: Tensor, ties_BN: Tensor) -> None:
        listed.append((scores_BN.shape, support_BS.shape[0], ties_BN.shape))

    monkeypatch.setattr(as_served, "top_items", spy)
    found = measure_adapt_ms(Fixed(item_means), cold.episodes.support)
    assert found == pytest.approx((1 + repeats) / 2)
    assert listed == [((1, 61), 1, (1, 61))] * (warm_up + repeats)


def test_who_is_new_to_a_version_follows_from_its_marks(prepared: Prepared) -> None:
    assert not bool(new_to(everyone(prepared, 0).known_U, prepared).any())
    keys = prepared.users["key"].tolist()
    new_U = new_to(marks(keys[:100]), prepared)
    assert new_U.tolist() == [False] * 100 + [True] * 20
    assert new_to(marks(keys[:100])[::1].sort()[0], prepared).equal(new_U)


def test_newcomers_are_judged_whatever_role_they_play(prepared: Prepared, params: Params) -> None:
    new_U = torch.arange(prepared.n_users) >= 100
    data = newcomers(prepared, new_U, params, 0)
    assert data is not None
    found = evaluation_set(data, params, 0, "cold")
    assert found.episodes.users_B.tolist() == list(range(100, 120))  # all have 25 ratings or more
    cold = evaluation_set(prepared, params, 0, "cold")
    both = torch.isin(cold.episodes.users_B, found.episodes.users_B)
    again = found.rows(torch.isin(found.episodes.users_B, cold.episodes.users_B))
    assert int(both.sum()) > 0
    assert torch.equal(again.episodes.items_BQ, cold.rows(both).episodes.items_BQ)
    assert newcomers(prepared, torch.zeros(prepared.n_users, dtype=torch.bool), params, 0) is None


def test_all_but_the_support_can_be_judged(prepared: Prepared, params: Params) -> None:
    cold = evaluation_set(prepared, params, 0, "cold")
    found = with_all_ratings(cold, prepared).episodes
    counts = prepared.users["n_ratings"].to_numpy()[found.users_B.numpy()]
    assert found.mask_BQ.sum(1).tolist() == (counts - 10).tolist()  # the pool is of ten
    for row in range(3):
        judged = set(found.items_BQ[row][found.mask_BQ[row]].tolist())
        assert not judged & set(found.support.items_BS[row].tolist())
        assert set(cold.episodes.items_BQ[row].tolist()) <= judged
