"""Same query for every K, nothing depends on the batch, ties are the user's own."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import Tensor

from coldstart.data.prepared import Prepared
from coldstart.errors import EvaluationError
from coldstart.evaluation import protocol
from coldstart.evaluation.evaluation_set import Catalogue, EvaluationSet, evaluation_set
from coldstart.evaluation.metrics import METRICS
from coldstart.evaluation.protocol import evaluate, recommend, tie_breaks
from coldstart.params import Params

from .conftest import Fixed

SHOTS = (0, 1, 5)


def test_a_row_per_user_and_k_with_every_metric(cold: EvaluationSet, item_means: Tensor) -> None:
    method = Fixed(item_means, adapts=True, variance=1.0)
    users = evaluate(method, cold, SHOTS, catalogue=True).users
    assert len(users) == cold.n_users * len(SHOTS)
    columns = {m.per_user_column for m in METRICS.values() if m.per_user and m.kind != "click"}
    assert set(users.columns) == columns | {"user", "key", "k"}
    order = list(zip(users["user"], users["k"], strict=True))
    assert order == sorted(order)
    assert users.index.tolist() == list(range(len(users)))


def test_what_does_not_adapt_scores_the_same_at_every_k(
    cold: EvaluationSet, item_means: Tensor
) -> None:
    users = evaluate(Fixed(item_means), cold, SHOTS, catalogue=False).users
    by_user = users.groupby("user")[["mse", "mae", "auc"]]
    assert (by_user.max() - by_user.min()).fillna(0).max(axis=None) == 0


def test_rating_errors_equal_a_direct_computation(
    prepared: Prepared, cold: EvaluationSet, item_means: Tensor
) -> None:
    users = evaluate(Fixed(item_means), cold, (0,), catalogue=False).users
    rows = prepared.episodes
    rows = rows[(rows["fold"] == 0) & (rows["part"] == "query")]
    rows = rows[rows["user"].isin(users["user"])]
    centre, scale = prepared.unit(0)
    error = rows["rating"] - (centre + scale * item_means.double().numpy()[rows["item"]])
    expected = (error**2).groupby(rows["user"]).mean()
    assert users.set_index("user")["mse"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-5)


def test_predictions_are_clipped_to_the_scale(cold: EvaluationSet) -> None:
    far = evaluate(Fixed(torch.full((61,), 100.0)), cold, (0,), catalogue=False).users
    top = evaluate(
        Fixed(cold.unit.inside(torch.full((61,), 5.0))), cold, (0,), catalogue=False
    ).users
    assert far["mse"].to_numpy() == pytest.approx(top["mse"].to_numpy())


def test_chances_are_clipped_inside_0_and_1(cold: EvaluationSet) -> None:
    """A loss of certainty that is wrong is finite."""
    found = replace(cold, head="click").predictions(torch.tensor([[-1.0, 0.3, 2.0]]))
    assert found[0, 0] == torch.tensor(0.01)
    assert found[0, 1] == torch.tensor(0.3)
    assert found[0, 2] == torch.tensor(0.99)


@pytest.mark.parametrize("chunk", [1, 7])
def test_the_batch_changes_nothing(
    cold: EvaluationSet, item_means: Tensor, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    method = Fixed(item_means.round(), adapts=True)  # rounded: many ties
    whole = evaluate(method, cold, SHOTS, catalogue=True)
    monkeypatch.setattr(protocol, "CHUNK", chunk)
    monkeypatch.setattr(protocol, "CELLS", 100)
    parts = evaluate(method, cold, SHOTS, catalogue=True)
    pd.testing.assert_frame_equal(whole.users, parts.users)
    assert whole.coverage == parts.coverage


def test_a_user_keeps_their_ties_whoever_else_is_evaluated(
    cold: EvaluationSet, item_means: Tensor
) -> None:
    method = Fixed(torch.ones(61))
    whole = evaluate(method, cold, (0,), catalogue=True).users
    part = evaluate(method, cold.rows(slice(3, 6)), (0,), catalogue=True).users
    pd.testing.assert_frame_equal(whole.iloc[3:6].reset_index(drop=True), part)


def test_ties_are_uniform_and_independent() -> None:
    ties = tie_breaks(torch.arange(200), torch.arange(300)).double() / 2**31
    assert ties.min() >= 0
    assert ties.max() < 1
    assert ties.mean().item() == pytest.approx(0.5, abs=0.005)
    assert ties.var().item() == pytest.approx(1 / 12, rel=0.02)
    assert abs(torch.corrcoef(ties)).fill_diagonal_(0).max() < 0.35
    assert ties.unique().numel() > 0.99 * ties.numel()


def test_ties_are_the_upper_bits_of_splitmix64() -> None:
    """Of a user whose seed is 0: as published, https://prng.di.unimi.it/splitmix64.c."""
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    found = tie_breaks(torch.tensor([0]), torch.arange(3))
    assert found.tolist() == [[number >> 33 for number in published]]


def test_ties_of_a_pair_do_not_depend_on_the_list() -> None:
    seeds, items = torch.tensor([5, -9]), torch.tensor([[3, 1], [4, 4]])
    whole = tie_breaks(seeds, torch.arange(10))
    assert (tie_breaks(seeds, items) == whole.gather(1, items)).all()


def test_a_score_that_is_no_number_fails(cold: EvaluationSet) -> None:
    with pytest.raises(EvaluationError, match="NaN or infinite"):
        evaluate(Fixed(torch.full((61,), math.nan)), cold, (0,), catalogue=False)


def test_coverage_is_the_share_of_the_catalogue_that_anybody_sees(cold: EvaluationSet) -> None:
    everybody_the_same = Fixed(torch.arange(61).float())
    found = evaluate(everybody_the_same, cold, (0,), catalogue=True)
    assert found.coverage == {0: pytest.approx(10 / 60)}


def test_a_catalogue_of_one_item_can_be_covered(cold: EvaluationSet) -> None:
    support = cold.episodes.support
    nothing = support._replace(items_BS=torch.zeros_like(support.items_BS))
    episodes = cold.episodes._replace(
        support=nothing, items_BQ=torch.ones_like(cold.ratings_BQ).long()
    )
    likes_BL = torch.ones((cold.n_users, 1), dtype=torch.int64)
    catalogue = Catalogue(*(part[:2] for part in cold.catalogue))
    one = replace(cold, episodes=episodes, likes_BL=likes_BL, catalogue=catalogue)
    assert evaluate(Fixed(torch.ones(2)), one, (0,), catalogue=True).coverage == {0: 1.0}


def test_to_nobody_nothing_is_recommended(item_means: Tensor) -> None:
    none_B = torch.zeros(0, dtype=torch.int64)
    state = {"shift_B": torch.zeros(0)}
    assert recommend(Fixed(item_means), state, none_B[:, None], none_B).shape == (0, 10)


def _two_users(cold: EvaluationSet) -> EvaluationSet:
    """Of 13 items; head, middle and tail begin at 1, 4 and 9, popular are 1 to 4, cold 5 and 13.

    One likes 3, 5, 13 and what no list can hold, beside 1 of the support; the other likes 4, with
    five items that no list may hold, and two query items.
    """
    part = cold.rows(slice(0, 2))
    support = part.episodes.support.first(2)._replace(
        items_BS=torch.tensor([[1, 2], [5, 0]]),
        targets_BS=torch.zeros(2, 2),
        mask_BS=torch.tensor([[True, True], [True, False]]),
    )
    mask_BQ = torch.tensor([[True, True, True, True], [True, True, False, False]])
    items_BQ = torch.tensor([[3, 13, 5, 7], [4, 6, 0, 0]])
    episodes = part.episodes._replace(
        support=support, items_BQ=items_BQ, targets_BQ=torch.zeros(2, 4), mask_BQ=mask_BQ
    )
    items_N = torch.arange(14)
    return replace(
        part,
        episodes=episodes,
        ratings_BQ=torch.tensor([[5.0, 4.0, 2.0, 1.0], [5.0, 5.0, 5.0, 5.0]]),
        ranked_B=torch.tensor([True, True]),
        likes_BL=torch.tensor([[1, 3, 5, 13, -4], [4, 0, 0, 0, 0]]),
        left_out_BX=torch.tensor([[0, 0, 0, 0, 0], [1, 10, 11, 12, 13]]),
        catalogue=Catalogue(
            share_N=torch.where(items_N <= 7, 2.0**-3, 2.0**-5),
            third_N=torch.tensor([2, *(0,) * 3, *(1,) * 5, *(2,) * 5]),
            popular_N=(items_N >= 1) & (items_N <= 4),
            cold_N=(items_N == 5) | (items_N == 13),
        ),
    )


def test_metrics_of_lists_by_hand(cold: EvaluationSet) -> None:
    """From the best on, 1 to 13, one is shown 3 to 12, the other 2, 3, 4, 6, 7, 8, 9."""
    scores_N = torch.tensor([99.0, *range(13, 0, -1)])
    found = evaluate(Fixed(scores_N), _two_users(cold), (2,), catalogue=True)
    at = [1 / math.log2(1 + rank) for rank in range(1, 5)]
    nan = math.nan
    expected = {
        "list_recall@10": [2 / 4, 1],
        "list_ndcg@10": [(at[0] + at[2]) / sum(at), at[2]],
        "list_mrr@10": [1, 1 / 3],
        "list_recall_head@10": [1, nan],
        "list_recall_middle@10": [1, 1],
        "list_recall_tail@10": [0 / 2, nan],
        "list_recall_cold@10": [1 / 2, nan],
        "recall@10": [1 / 2, 2 / 2],
        "novelty": [(5 * 3 + 5 * 5) / 10, (5 * 3 + 2 * 5) / 7],
        "popular@10": [2 / 10, 3 / 7],
    }
    for name, values in expected.items():
        assert found.users[name].tolist() == pytest.approx(values, nan_ok=True), name
    assert found.coverage == {2: 11 / 13}


def test_what_is_not_liked_or_not_for_the_list_is_no_item(cold: EvaluationSet) -> None:
    """Shown are 1 and 3 to 11; 3 is liked, as is 2 of the support; of the query 4 is not liked."""
    one = _two_users(cold).rows(slice(0, 1))
    support = one.episodes.support._replace(
        items_BS=torch.tensor([[2, 0]]), mask_BS=torch.tensor([[True, False]])
    )
    episodes = one.episodes._replace(
        support=support,
        items_BQ=torch.tensor([[4, 3, 0, 0]]),
        mask_BQ=torch.tensor([[True, True, False, False]]),
    )
    one = replace(
        one,
        episodes=episodes,
        ratings_BQ=torch.tensor([[1.0, 5.0, 5.0, 5.0]]),
        likes_BL=torch.tensor([[2, 3, 0]]),
    )
    found = evaluate(Fixed(torch.arange(14.0, 0, -1)), one, (2,), catalogue=True).users
    assert found["recall@10"].tolist() == [1]
    assert found["list_recall@10"].tolist() == [1]
    assert found["list_mrr@10"].tolist() == [1 / 2]
    assert found["list_ndcg@10"].tolist() == pytest.approx([1 / math.log2(3)])
    assert found["list_recall_head@10"].tolist() == [1]


def test_likes_with_the_click_head(prepared: Prepared, params: Params) -> None:
    asked = replace(prepared, summary=prepared.summary | {"head": "click"})
    click = evaluation_set(asked, params.model_copy(update={"head": "click"}), 0, "cold")
    likes = (click.ratings_BQ >= 4).float()
    target = replace(click, episodes=click.episodes._replace(targets_BQ=likes))
    users = evaluate(Fixed(torch.full((61,), 0.5)), target, (0,), catalogue=False).users
    assert users["log_loss"].to_numpy() == pytest.approx(math.log(2))
    assert "mse" not in users
    sure = evaluate(Fixed(torch.full((61,), 7.0)), target, (0,), catalogue=False).users
    worst = -math.log(0.01)
    assert sure["log_loss"].max() <= worst + 1e-6


def test_nobody_to_evaluate_is_said(prepared: Prepared, params: Params) -> None:
    nobody = replace(prepared, episodes=prepared.episodes.iloc[:0])
    with pytest.raises(EvaluationError, match=r"no cold user has prepare\.min_ratings"):
        evaluation_set(nobody, params, 0, "cold")


def test_the_whole_catalogue_is_ranked_for_a_stable_part_of_the_users(
    prepared: Prepared, params: Params, item_means: Tensor, cold: EvaluationSet
) -> None:
    few = params.evaluate.model_copy(update={"catalogue_users": 4})
    limited = evaluation_set(prepared, params.model_copy(update={"evaluate": few}), 0, "cold")
    whole = evaluate(Fixed(item_means), cold, (0, 1), catalogue=True).users
    part = evaluate(Fixed(item_means), limited, (0, 1), catalogue=True).users
    ranked = part["novelty"].notna()
    assert part[ranked]["user"].nunique() == 4
    pd.testing.assert_frame_equal(part[ranked], whole[ranked])
    assert part["mse"].equals(whole["mse"])


def test_items_without_a_rating_have_rows_of_their_own(
    cold: EvaluationSet, item_means: Tensor
) -> None:
    """Two query items of the first user are made cold; the list holds one and nine others."""
    few = cold.rows(slice(0, 1))
    own_Q = few.episodes.items_BQ[0]
    cold_N = torch.zeros(few.catalogue.cold_N.shape, dtype=torch.bool)
    cold_N[own_Q[:2]] = True
    few = replace(
        few,
        catalogue=few.catalogue._replace(cold_N=cold_N),
        likes_BL=own_Q[:4].unsqueeze(0),
    )
    scores_N = item_means.clone()
    scores_N[own_Q[0]] = 9.0
    scores_N[own_Q[1]] = -9.0
    users = evaluate(Fixed(scores_N, variance=1.0), few, (0,), catalogue=True).users.iloc[0]
    predicted_Q = few.predictions(scores_N[own_Q[:2]].unsqueeze(0))[0]
    error = (predicted_Q - few.truth[0, :2]).square().mean()
    assert users["mse_cold_items"] == pytest.approx(float(error))
    assert users["list_recall_cold@10"] == 0.5  # one of the two stands in the ten
    inside = (few.unit.outside(scores_N[own_Q[:2]]) - few.truth[0, :2]).abs()
    half = 1.2815515655446004 * float(few.unit.scale)
    assert users["covered_cold@80"] == pytest.approx(float((inside <= half).double().mean()))
    truth_Q = few.unit.inside(few.truth[0, :2])
    scores_N[own_Q[:2]] = truth_Q.float() + torch.tensor([1.28, 1.29])  # just inside, and outside
    near = evaluate(Fixed(scores_N, variance=1.0), few, (0,), catalogue=False).users.iloc[0]
    assert near["covered_cold@80"] == 0.5
    nobody = few.catalogue._replace(cold_N=torch.zeros_like(cold_N))
    without = evaluate(
        Fixed(scores_N, variance=1.0), replace(few, catalogue=nobody), (0,), catalogue=True
    ).users.iloc[0]
    assert math.isnan(without["mse_cold_items"])
    assert math.isnan(without["list_recall_cold@10"])
