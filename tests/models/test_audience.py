"""Who rates an item, on data where that is known."""

from __future__ import annotations

import pytest
import torch

from coldstart.data.episodes import History
from coldstart.models.audience import audience_features

U, N = 120, 61


def _two_camps(seed: int = 0) -> History:
    """Even users rate even items and odd users odd ones, but for one rating in ten; 60 unrated."""
    generator = torch.Generator().manual_seed(seed)
    users = torch.arange(U).repeat_interleave(N - 2)
    items = torch.arange(1, N - 1).repeat(U)
    same = (users % 2) == (items % 2)
    kept = torch.rand(len(users), generator=generator) < torch.where(same, 0.5, 0.05)
    users, items = users[kept], items[kept]
    ratings = torch.randint(1, 6, (len(users),), generator=generator).float()
    return History(users, items, ratings, U, N, torch.zeros(U, 0), torch.zeros(N, 0))


def test_items_of_one_camp_are_alike() -> None:
    first = audience_features(_two_camps(), 3)[1 : N - 1, 0]
    odd = torch.arange(1, N - 1) % 2 == 1
    low, high = sorted((first[odd], first[~odd]), key=lambda values: float(values.mean()))
    assert float(low.max()) < float(high.min())


def test_features_are_standardised_over_ratings() -> None:
    history = _two_camps()
    features = audience_features(history, 4)
    assert features.shape == (N, 5)
    rated = features[history.items_R, :4].double()
    torch.testing.assert_close(rated.mean(0), torch.zeros(4).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(rated.square().mean(0), torch.ones(4).double(), atol=1e-4, rtol=0)


def test_the_last_feature_is_the_number_of_ratings() -> None:
    history = _two_camps()
    popularity = audience_features(history, 2)[1 : N - 1, -1]
    counts = torch.bincount(history.items_R, minlength=N)[1 : N - 1]
    order = torch.stack([counts.double().log1p(), popularity.double()])
    assert float(torch.corrcoef(order)[0, 1]) == pytest.approx(1.0)


def test_nothing_is_known_of_items_without_ratings() -> None:
    features = audience_features(_two_camps(), 3)
    assert not features[0].any()
    assert not features[N - 1].any()  # it may be new, and does not count as unpopular


def test_no_rating_is_read() -> None:
    history = _two_camps()
    other = history._replace(targets_R=6 - history.targets_R)
    assert torch.equal(audience_features(history, 3), audience_features(other, 3))


def test_fewer_dimensions_where_there_are_few_users() -> None:
    history = _two_camps()
    few = history.users_R < 4
    part = history._replace(
        users_R=history.users_R[few],
        items_R=history.items_R[few],
        targets_R=history.targets_R[few],
    )
    assert audience_features(part, 10).shape == (N, 3)
