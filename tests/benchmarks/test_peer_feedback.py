"""What rankers learn from and what they see of a new user; popularity by attributes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from coldstart.data.episodes import Support
from coldstart.data.prepared import Prepared
from peer_libraries.feedback import feedback, where_known
from peer_libraries.popular_peers import fit_alike, fit_popularity


def test_likes_count_one_and_other_ratings_less(prepared: Prepared) -> None:
    known = feedback(prepared, 0, 0.4)
    rows = prepared.history_rows(0)
    row = rows[rows["rating"] == 4.0].iloc[0]
    other = rows[rows["rating"] == 3.0].iloc[0]
    place = {user: i for i, user in enumerate(known.users_U.tolist())}
    assert known.weights_UN[place[row["user"]], int(row["item"])] == 1
    assert known.weights_UN[place[other["user"]], int(other["item"])] == np.float32(0.4)
    assert known.weights_UN.nnz == len(rows)


def test_only_historical_users_are_learnt_from(prepared: Prepared) -> None:
    known = feedback(prepared, 0, 1.0)
    assert set(known.users_U.tolist()) == set(prepared.role_users(0, "historical").tolist())


def test_below_zero_leaves_only_likes(prepared: Prepared) -> None:
    rows = prepared.history_rows(0)
    assert feedback(prepared, 0, 0.0).weights_UN.nnz == int((rows["rating"] >= 4).sum())


def test_a_new_user_is_their_support_without_padding(prepared: Prepared) -> None:
    known = feedback(prepared, 0, 0.4)
    unit = prepared.unit(0)
    support = Support(
        items_BS=torch.tensor([[3, 5, 0], [7, 9, 0]]),
        targets_BS=unit.inside(torch.tensor([[5.0, 2.0, 5.0], [4.0, 5.0, 5.0]])),
        mask_BS=torch.tensor([[True, True, True], [True, False, False]]),
        users_BF=torch.zeros(2, 0),
        crossfit_B=torch.zeros(2, dtype=torch.int64),
    )
    rows = known.of_new_users(support).toarray()
    assert rows[0, 3] == 1
    assert rows[0, 5] == np.float32(0.4)
    assert rows[1, 7] == 1
    assert (rows != 0).sum() == 3


def test_what_nothing_speaks_for_has_no_score() -> None:
    found = where_known(np.array([[0.0, 2.0, -1.0]], dtype=np.float32))
    assert np.isnan(found[0, 0])
    assert found[0, 1:].tolist() == [2.0, -1.0]


@pytest.fixture
def newcomers(prepared: Prepared) -> Support:
    return prepared.eval_episodes(0, "cold").support


def test_popularity_counts_ratings_or_likes(prepared: Prepared, newcomers: Support) -> None:
    rows = prepared.history_rows(0)
    for below, kept in ((1.0, rows), (0.0, rows[rows["rating"] >= 4])):
        counts = np.bincount(kept["item"], minlength=prepared.n_items)
        found = fit_popularity(prepared, 0, {"below": below})(newcomers)
        assert found.shape == (newcomers.n_users, prepared.n_items)
        np.testing.assert_array_equal(found[3], counts)


def test_people_with_the_same_attributes_count_more(prepared: Prepared, newcomers: Support) -> None:
    """Gender alone, so close that the other gender hardly counts."""
    labels = prepared.encoder.labels
    women, men = labels.index("gender=F"), labels.index("gender=M")
    features = prepared.user_features_UF[:, [women, men]]
    alone = replace(prepared, user_features_UF=features)
    support = newcomers._replace(users_BF=newcomers.users_BF[:, [women, men]])
    found = fit_alike(alone, 0, {"closeness": 20.0, "below": 1.0})(support)
    user = int((support.users_BF[:, 0] > 0).nonzero()[0, 0])
    rows = prepared.history_rows(0)
    own = rows[features.numpy()[rows["user"], 0] > 0]
    counts = np.bincount(own["item"], minlength=prepared.n_items)
    np.testing.assert_allclose(found[user] / np.exp(20), counts, rtol=1e-4, atol=1e-4)
