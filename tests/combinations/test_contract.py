"""What every combination must do, as every baseline and algorithm does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from coldstart.combinations import COMBINATIONS, possible
from coldstart.data.episodes import Episodes, Support
from coldstart.methods import load_method
from coldstart.models.recommender import Recommender
from coldstart.models.server import alone
from coldstart.params import Params

Make = Callable[..., Recommender]
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module", params=sorted(COMBINATIONS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(make: Make, name: str) -> Recommender:
    return make(name)


def _catalogue(model: Recommender, support: Support) -> torch.Tensor:
    return model.score_catalogue(model.adapt(support)).mean


def test_the_committed_params_make_them_all(params: Params) -> None:
    assert list(possible(params)) == list(COMBINATIONS)


@pytest.mark.parametrize("k", [0, 1, 7, 10])
def test_shapes_types_and_any_k(model: Recommender, episodes: Episodes, k: int) -> None:
    state = model.adapt(episodes.support.first(k))
    assert all(len(value) == 7 for value in state.values())
    mean, variance = model.score(state, episodes.items_BQ)
    assert mean.shape == episodes.items_BQ.shape
    assert mean.dtype == torch.float32
    assert mean.isfinite().all()
    assert variance is not None
    assert variance.shape == mean.shape
    assert (variance > 0).all()


def test_more_ratings_than_ever_seen(model: Recommender, episodes: Episodes) -> None:
    support = episodes.support
    three = Support(
        *(torch.cat([f] * 3, 1) if f.shape[1:] else f for f in support[:3]), *support[3:]
    )
    assert _catalogue(model, three).isfinite().all()


@pytest.mark.parametrize("k", [0, 3])
def test_the_catalogue_agrees_with_single_items(
    model: Recommender, episodes: Episodes, k: int
) -> None:
    state = model.adapt(episodes.support.first(k))
    everything = torch.arange(model.n_items).repeat(7, 1)
    torch.testing.assert_close(
        model.score_catalogue(state).mean, model.score(state, everything).mean, **TOLERANCE
    )


def test_padding_and_order_change_nothing(model: Recommender, episodes: Episodes) -> None:
    support = episodes.support.first(4)

    def changed(values: torch.Tensor, fill: float) -> torch.Tensor:
        return torch.nn.functional.pad(values.flip(1), (1, 2), value=fill)

    other = support._replace(
        items_BS=changed(support.items_BS, 0),
        targets_BS=changed(support.targets_BS, 9.0),
        mask_BS=changed(support.mask_BS, False),
    )
    torch.testing.assert_close(_catalogue(model, other), _catalogue(model, support), **TOLERANCE)


def test_a_user_alone_is_scored_as_in_a_batch(model: Recommender, episodes: Episodes) -> None:
    mixed = episodes.support.mask_BS.clone()
    mixed[2, 5:] = False
    support = episodes.support._replace(mask_BS=mixed)
    alone = support.rows(slice(2, 3)).first(5)
    torch.testing.assert_close(
        _catalogue(model, alone)[0], _catalogue(model, support)[2], **TOLERANCE
    )


def test_one_rating_at_a_time_equals_the_batch(model: Recommender, episodes: Episodes) -> None:
    """Of members that are exact; the number of ratings chooses weights and variance."""
    support = episodes.support
    state = model.adapt(support.first(0))
    for k in range(support.items_BS.shape[1]):
        state = model.update(state, support.items_BS[:, k], support.targets_BS[:, k])
        found = model.score(state, episodes.items_BQ)
        batch = model.score(model.adapt(support.first(k + 1)), episodes.items_BQ)
        torch.testing.assert_close(found, batch, **TOLERANCE)
    assert model.exact_update


@pytest.mark.parametrize("k", [0, 1, 10])
def test_a_server_says_what_the_method_says(model: Recommender, episodes: Episodes, k: int) -> None:
    server, support = model.serve(), episodes.support.first(k)
    state = model.adapt(support)
    ranks, (means, variances) = model.rank_catalogue(state), model.score(state, episodes.items_BQ)
    for user in range(episodes.n_users):
        own = server.adapt(*alone(support.rows(slice(user, user + 1))))
        first = server.rank(own)
        _close(first, ranks[user])
        first[:] = 0  # the caller's
        _close(server.rank(own), ranks[user])
        found = server.score(own, episodes.items_BQ[user].numpy())
        _close(found.mean_Q, means[user])
        assert (found.variance_Q is None) == (variances is None)
        if found.variance_Q is not None and variances is not None:
            _close(found.variance_Q, variances[user])


def _close(found: Any, expected: torch.Tensor) -> None:
    torch.testing.assert_close(torch.as_tensor(found).float(), expected, rtol=1e-4, atol=1e-4)


def test_an_unknown_item_in_the_support(model: Recommender, episodes: Episodes) -> None:
    unknown = episodes.support._replace(items_BS=torch.zeros_like(episodes.support.items_BS))
    moved = _catalogue(model, unknown) - _catalogue(model, episodes.support.first(0))
    assert moved.abs().max() < 5  # rating points, beyond any rating: no huge step


def test_part_of_a_state_is_part_of_the_result(model: Recommender, episodes: Episodes) -> None:
    state = model.adapt(episodes.support)
    part = {key: value[2:4] for key, value in state.items()}
    torch.testing.assert_close(
        model.score_catalogue(part).mean, model.score_catalogue(state).mean[2:4], **TOLERANCE
    )


def test_in_inference_mode(model: Recommender, episodes: Episodes) -> None:
    expected = _catalogue(model, episodes.support)
    with torch.inference_mode():
        support = Support(*(field.clone() for field in episodes.support))
        assert torch.equal(_catalogue(model, support), expected)
    assert not expected.requires_grad


def test_made_again_loaded_and_saved_again_it_has_the_same_bytes(
    make: Make, name: str, model: Recommender, episodes: Episodes, tmp_path: Path
) -> None:
    model.to_bundle().save(tmp_path / "a")
    make(name).to_bundle().save(tmp_path / "b")
    loaded = load_method(tmp_path / "a")
    loaded.to_bundle().save(tmp_path / "c")
    for file in ("model.safetensors", "manifest.json"):
        expected = (tmp_path / "a" / file).read_bytes()
        assert (tmp_path / "b" / file).read_bytes() == expected
        assert (tmp_path / "c" / file).read_bytes() == expected
    here = model.score(model.adapt(episodes.support), episodes.items_BQ)
    there = loaded.score(loaded.adapt(episodes.support), episodes.items_BQ)
    assert torch.equal(here.mean, there.mean)
    assert torch.equal(here.variance, there.variance)
