"""Batches of users as tasks: their parts and means, and how training ones are drawn."""

from __future__ import annotations

import pytest
import torch

from coldstart.data import episodes
from coldstart.data.episodes import Episodes, EpisodeSampler, History, Support
from coldstart.data.prepared import Prepared


@pytest.fixture
def padded() -> Episodes:
    """Three users with queries of two, one and no rating; the padding holds numbers."""
    return Episodes(
        Support(
            torch.tensor([[3], [0], [5]]),
            torch.tensor([[4.0], [0.0], [1.0]]),
            torch.tensor([[True], [False], [True]]),
            torch.zeros(3, 2),
            torch.tensor([1, 2, 0]),
        ),
        torch.tensor([[1, 2], [2, 0], [0, 0]]),
        torch.tensor([[5.0, 3.0], [4.0, 9.0], [9.0, 9.0]]),
        torch.tensor([[True, True], [True, False], [False, False]]),
        torch.tensor([7, 8, 9]),
    )


def test_users_count_the_same_in_a_mean_and_padding_does_not(padded: Episodes) -> None:
    """(5 + 3) / 2 and 4 over two users; the third has no query."""
    assert padded.mean_over_users(padded.targets_BQ).item() == 4
    both = torch.stack([padded.targets_BQ, padded.targets_BQ.square()])
    assert padded.mean_over_users(both).tolist() == [4, ((25 + 9) / 2 + 16) / 2]


def test_a_batch_goes_to_a_device_as_a_whole(padded: Episodes) -> None:
    there = padded._replace(draws_BQ=torch.ones(3, 2)).to("meta")
    fields = (*there.support, *there[1:])
    assert all(field is not None and field.device.type == "meta" for field in fields)
    here = padded.to("cpu")
    assert here.draws_BQ is None
    for one, same in zip((*here.support, *here[1:5]), (*padded.support, *padded[1:5]), strict=True):
        assert torch.equal(one, same)


def _sampler(prepared: Prepared, seed: int, **changes: int) -> EpisodeSampler:
    return EpisodeSampler(
        prepared.history(0),
        **{"batch_size": 16, "query_size": 6, "max_support": 8, **changes},
        group_U=torch.arange(prepared.n_users) % 3,
        generator=torch.Generator().manual_seed(seed),
    )


@pytest.mark.parametrize("block", [episodes.BLOCK, 3])
def test_sampled_episodes_are_valid(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """Of users who are drawn for one after another, or beside those who are as busy."""
    monkeypatch.setattr(episodes, "BLOCK", block)
    sampler = _sampler(prepared, 0)
    ratings = prepared.ratings
    columns = (ratings["user"], ratings["item"], prepared.targets(ratings, 0).tolist())
    rated = set(zip(*columns, strict=True))
    historical = set(prepared.role_users(0, "historical"))
    sizes = []
    for _ in range(20):
        e = sampler.sample()
        assert len(set(e.users_B.tolist())) == 16
        assert set(e.users_B.tolist()) <= historical
        assert torch.equal(e.support.crossfit_B, e.users_B % 3)
        assert (e.items_BQ[~e.mask_BQ] == 0).all()
        assert (e.support.items_BS[~e.support.mask_BS] == 0).all()
        assert (e.support.targets_BS[~e.support.mask_BS] == 0).all()
        sizes += e.support.mask_BS.sum(1).tolist()
        for b, user in enumerate(e.users_B.tolist()):
            of_support, of_query = e.support.mask_BS[b], e.mask_BQ[b]
            items = [*e.support.items_BS[b][of_support].tolist(), *e.items_BQ[b][of_query].tolist()]
            targets = [
                *e.support.targets_BS[b][of_support].tolist(),
                *e.targets_BQ[b][of_query].tolist(),
            ]
            assert len(set(items)) == len(items)
            assert of_query.any()
            assert {(user, i, t) for i, t in zip(items, targets, strict=True)} <= rated
    assert set(sizes) == set(range(9))


def test_generator_is_the_whole_state(prepared: Prepared) -> None:
    generator = torch.Generator().manual_seed(3)
    sampler = EpisodeSampler(
        prepared.history(0),
        batch_size=8,
        query_size=4,
        max_support=4,
        group_U=torch.zeros(prepared.n_users, dtype=torch.int64),
        generator=generator,
    )
    sampler.sample()
    state = generator.get_state()
    first = sampler.sample()
    sampler.sample()
    generator.set_state(state)
    again = sampler.sample()
    assert torch.equal(first.items_BQ, again.items_BQ)
    assert torch.equal(first.support.items_BS, again.support.items_BS)


COUNTS = torch.tensor([1, 2, 3, 40])


def _short(query_size: int, max_support: int) -> Episodes:
    """32 episodes of four users with one, two, three and forty ratings."""
    users = torch.arange(4).repeat_interleave(COUNTS)
    history = History(
        users_R=users,
        items_R=torch.arange(1, len(users) + 1),
        targets_R=torch.ones(len(users)),
        n_users=4,
        n_items=len(users) + 1,
        user_features_UF=torch.zeros(4, 0),
        item_features_NG=torch.zeros(len(users) + 1, 0),
    )
    return EpisodeSampler(
        history,
        batch_size=32,
        query_size=query_size,
        max_support=max_support,
        group_U=torch.zeros(4, dtype=torch.int64),
        generator=torch.Generator().manual_seed(0),
    ).sample()


def test_short_histories_are_padded() -> None:
    e = _short(query_size=10, max_support=20)
    used = e.support.mask_BS.sum(1) + e.mask_BQ.sum(1)
    assert set(e.users_B.tolist()) == {1, 2, 3}  # one rating makes no episode
    assert (used <= COUNTS[e.users_B]).all()
    assert (e.mask_BQ.sum(1) >= 1).all()
    assert (used[e.users_B == 1] == 2).all()
    for values, mask in (
        (e.items_BQ, e.mask_BQ),
        (e.targets_BQ, e.mask_BQ),
        (e.support.items_BS, e.support.mask_BS),
        (e.support.targets_BS, e.support.mask_BS),
    ):
        assert (values[mask] > 0).all()
        assert (values[~mask] == 0).all()


def test_all_ratings_but_one_may_be_the_support() -> None:
    e = _short(query_size=3, max_support=2)
    sizes = e.support.mask_BS.sum(1)
    for user, found in ((1, {0, 1}), (2, {0, 1, 2}), (3, {0, 1, 2})):
        assert set(sizes[e.users_B == user].tolist()) == found


def test_many_users_are_drawn_for_in_blocks_as_they_are_at_once(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = _sampler(prepared, 0).sample()
    monkeypatch.setattr(episodes, "CELLS", 3 * 60)
    in_blocks = _sampler(prepared, 0).sample()
    assert torch.equal(at_once.items_BQ, in_blocks.items_BQ)
    for field, same in zip(at_once.support, in_blocks.support, strict=True):
        assert torch.equal(field, same)


def test_a_batch_that_is_one_block_is_drawn_as_it_comes(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_ever = _sampler(prepared, 0).sample()
    monkeypatch.setattr(episodes, "BLOCK", 16)
    assert torch.equal(_sampler(prepared, 0).sample().items_BQ, as_ever.items_BQ)
    monkeypatch.setattr(episodes, "BLOCK", 15)
    assert not torch.equal(_sampler(prepared, 0).sample().items_BQ, as_ever.items_BQ)


def test_few_busy_users_do_not_cost_all_others_as_many_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 32 users a third has forty ratings; the others need no more numbers than ratings used."""
    drawn, rand = [], torch.rand

    def counted(*shape: int, generator: torch.Generator) -> torch.Tensor:
        drawn.append(shape)
        return rand(*shape, generator=generator)

    monkeypatch.setattr(torch, "rand", counted)
    monkeypatch.setattr(episodes, "BLOCK", 1)
    e = _short(query_size=2, max_support=2)
    busy = int((e.users_B == 3).sum())
    assert 0 < busy < 32
    assert sum(n * span for n, span in drawn[1:]) == busy * 40 + (32 - busy) * 4
