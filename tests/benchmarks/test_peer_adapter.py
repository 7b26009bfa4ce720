"""The adapter of other libraries' models, without any of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from coldstart.data.episodes import History, Support
from coldstart.data.prepared import Prepared
from coldstart.evaluation.evaluation_set import evaluation_set
from coldstart.evaluation.protocol import evaluate
from coldstart.params import DataParams, PrepareParams, load_params
from peer_libraries.adapter import (
    PeerRecommender,
    complete,
    item_means,
    known_ratings,
    likes_of_items,
    rated_history,
)

NAN = np.nan


def support(items: list[list[int]], targets: list[list[float]], mask: list[list[int]]) -> Support:
    n = len(items)
    return Support(
        items_BS=torch.tensor(items, dtype=torch.int64).reshape(n, -1),
        targets_BS=torch.tensor(targets, dtype=torch.float32).reshape(n, -1),
        mask_BS=torch.tensor(mask, dtype=torch.bool).reshape(n, -1),
        users_BF=torch.zeros(n, 0),
        crossfit_B=torch.zeros(n, dtype=torch.int64),
    )


@pytest.fixture
def history() -> History:
    """Item 1: ratings 5 and 3; item 2: a 1; item 3: none."""
    return History(
        users_R=torch.tensor([0, 1, 1]),
        items_R=torch.tensor([1, 1, 2]),
        targets_R=torch.tensor([5.0, 3.0, 1.0]),
        n_users=2,
        n_items=4,
        user_features_UF=torch.zeros(2, 0),
        item_features_NG=torch.zeros(4, 0),
    )


def test_item_means_are_damped_towards_the_mean(history: History) -> None:
    # the mean is 3: (8 + 2 * 3) / 4, (1 + 2 * 3) / 3, and 3 where nothing is known
    np.testing.assert_allclose(item_means(history, 2.0), [3, 3.5, 7 / 3, 3], rtol=1e-6)


def test_likes_of_items_counts_what_is_above_the_border(history: History) -> None:
    assert likes_of_items(history._replace(like=2.0)).tolist() == [0, 2, 0, 0]
    assert likes_of_items(history._replace(like=4.0)).tolist() == [0, 1, 0, 0]


def test_known_ratings_leave_out_padding_and_the_unknown_item() -> None:
    users = list(
        known_ratings(support([[2, 0, 3], [1, 0, 0]], [[4, 5, 1], [2, 0, 0]], [[1, 1, 1], [0] * 3]))
    )
    assert [(items.tolist(), targets.tolist()) for items, targets in users] == [
        ([2, 3], [4.0, 1.0]),
        ([], []),
    ]


def test_a_missing_rating_becomes_the_fallback() -> None:
    filled = complete(np.array([[NAN, 4.0], [2.0, NAN]]), np.array([3.0, 3.5]), rating=True)
    assert filled.tolist() == [[3.0, 4.0], [2.0, 3.5]]


def test_what_a_ranker_left_out_comes_last_in_the_order_of_the_fallback() -> None:
    scores = np.array([[NAN, -7.0, -5.0, NAN], [NAN, NAN, NAN, NAN]])
    filled = complete(scores, np.array([9.0, 2.0, 1.0, 4.0]), rating=False)
    assert filled[0].argsort().tolist() == [3, 0, 1, 2]
    assert filled[0, 1:3].tolist() == [-7.0, -5.0]
    assert filled[1].argsort().tolist() == [2, 1, 3, 0]


def test_our_evaluator_reads_a_peer_as_any_method(
    prepared: Prepared, data_params: DataParams, prepare_params: PrepareParams
) -> None:
    """A peer that knows the answer has no error; one that answers nothing is its fallback."""
    params = load_params(Path(__file__).parents[2] / "params.yaml")
    params = params.model_copy(update={"data": data_params, "prepare": prepare_params})
    target = evaluation_set(prepared, params, 0, "cold")
    episodes = target.episodes
    truth_BN = torch.full((target.n_users, prepared.n_items), 3.0, dtype=torch.float64)
    truth_BN.scatter_(1, episodes.items_BQ, target.ratings_BQ)
    unit = prepared.unit(0)
    means_N = item_means(rated_history(prepared, 0))
    oracle = PeerRecommender(lambda _: truth_BN.numpy(), means_N, True, unit)
    silent = PeerRecommender(
        lambda users: np.full((users.n_users, len(means_N)), NAN, np.float32), means_N, True, unit
    )
    known = evaluate(oracle, target, [3], catalogue=True).users
    assert known["mse"].max() < 1e-10
    assert known["ndcg@5"].min() == pytest.approx(1)
    nothing = evaluate(silent, target, [3], catalogue=False).users
    clipped = torch.from_numpy(means_N)[episodes.items_BQ].clamp(*target.scale)
    expected = (clipped - target.ratings_BQ).double().square().mean(1)
    np.testing.assert_allclose(nothing["mse"], expected, rtol=1e-5)
