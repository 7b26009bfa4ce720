"""What holds for every meta-learner; a new one is picked up without a change here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from coldstart.algorithms import ALGORITHMS, check_section
from coldstart.data.episodes import Episodes, Support
from coldstart.errors import ParamsError
from coldstart.models.bundle import Bundle
from coldstart.models.server import alone

from .contract import HEADS, NAMES, TOLERANCE, Make, targets_of

ITEMS_BQ = torch.arange(6 * 5).reshape(6, 5)
"""For six users five items each; the unknown one is among them."""


@NAMES
@HEADS
def test_score_catalogue_is_score_of_all_items(
    make: Make, episodes: Episodes, name: str, head: str
) -> None:
    learner = make(name, head=head)
    state = learner.adapt(targets_of(episodes, head))
    everything = torch.arange(learner.n_items).expand(episodes.n_users, -1)
    one_by_one, catalogue = learner.score(state, everything), learner.score_catalogue(state)
    torch.testing.assert_close(catalogue.mean, one_by_one.mean, **TOLERANCE)
    assert catalogue.mean.isfinite().all()  # the unknown item 0 included
    if one_by_one.variance is not None:
        assert (one_by_one.variance > 0).all()
    if head == "click":
        assert ((catalogue.mean >= 0) & (catalogue.mean <= 1)).all()


@NAMES
def test_padding_changes_nothing(make: Make, episodes: Episodes, name: str) -> None:
    learner = make(name)
    support = episodes.support
    extra = torch.zeros_like(support.items_BS[:, :3])
    padded = support._replace(
        items_BS=torch.cat([support.items_BS, extra], 1),
        targets_BS=torch.cat([support.targets_BS, extra.float()], 1),
        mask_BS=torch.cat([support.mask_BS, extra.bool()], 1),
    )
    expected = learner.score(learner.adapt(support), episodes.items_BQ)
    actual = learner.score(learner.adapt(padded), episodes.items_BQ)
    torch.testing.assert_close(actual.mean, expected.mean, **TOLERANCE)
    torch.testing.assert_close(actual.variance, expected.variance, **TOLERANCE)


@NAMES
def test_a_user_does_not_depend_on_the_batch(make: Make, episodes: Episodes, name: str) -> None:
    learner = make(name)
    together = learner.score_catalogue(learner.adapt(episodes.support)).mean
    for user in range(episodes.n_users):
        size = int(episodes.support.mask_BS[user].sum())
        alone = episodes.support.rows(slice(user, user + 1)).first(size)
        torch.testing.assert_close(
            learner.score_catalogue(learner.adapt(alone)).mean[0], together[user], **TOLERANCE
        )


@NAMES
def test_the_order_of_the_support_does_not_matter(
    make: Make, episodes: Episodes, name: str
) -> None:
    learner = make(name)
    support = episodes.support
    turned = support._replace(
        items_BS=support.items_BS.flip(1),
        targets_BS=support.targets_BS.flip(1),
        mask_BS=support.mask_BS.flip(1),
    )
    torch.testing.assert_close(
        learner.score_catalogue(learner.adapt(turned)).mean,
        learner.score_catalogue(learner.adapt(support)).mean,
        **TOLERANCE,
    )


@NAMES
def test_no_support_at_all(make: Make, episodes: Episodes, name: str) -> None:
    learner = make(name)
    masked = episodes.support._replace(mask_BS=torch.zeros_like(episodes.support.mask_BS))
    empty = learner.score_catalogue(learner.adapt(episodes.support.first(0))).mean
    assert empty.isfinite().all()
    torch.testing.assert_close(
        learner.score_catalogue(learner.adapt(masked)).mean, empty, **TOLERANCE
    )


@NAMES
def test_nobody(make: Make, episodes: Episodes, name: str) -> None:
    learner = make(name)
    state = learner.adapt(episodes.support.rows(slice(0, 0)))
    assert learner.score_catalogue(state).mean.shape == (0, learner.n_items)


@NAMES
def test_without_user_features(
    make: Make, make_episodes: Callable[..., Episodes], name: str
) -> None:
    learner = make(name, n_features=0)
    episodes = make_episodes(n_features=0)
    assert learner.score_catalogue(learner.adapt(episodes.support)).mean.isfinite().all()
    loss, _ = learner.meta_gradient(learner.theta, episodes)
    assert loss.isfinite()


@NAMES
def test_an_unknown_item_in_the_support(make: Make, episodes: Episodes, name: str) -> None:
    learner = make(name)
    unknown = episodes.support._replace(items_BS=torch.zeros_like(episodes.support.items_BS))
    scores = learner.score_catalogue(learner.adapt(unknown)).mean
    nothing = learner.score_catalogue(learner.adapt(episodes.support.first(0))).mean
    assert (scores - nothing).abs().max() < 5  # rating points, beyond any rating: no huge step


@NAMES
def test_state_has_the_user_as_first_dimension(make: Make, episodes: Episodes, name: str) -> None:
    learner = make(name)
    state = learner.adapt(episodes.support)
    assert all(value.shape[0] == episodes.n_users for value in state.values())
    part = {key: value[2:4] for key, value in state.items()}
    torch.testing.assert_close(
        learner.score_catalogue(part).mean,
        learner.score_catalogue(state).mean[2:4],
        **TOLERANCE,
    )


@NAMES
@HEADS
def test_a_server_says_what_the_method_says(
    make: Make, episodes: Episodes, name: str, head: str
) -> None:
    learner = make(name, head=head)
    server, support = learner.serve(), targets_of(episodes, head)
    state = learner.adapt(support)
    ranks, (means, variances) = learner.rank_catalogue(state), learner.score(state, ITEMS_BQ)
    for user in range(episodes.n_users):  # the first has no ratings
        own = server.adapt(*alone(support.rows(slice(user, user + 1))))
        _close(server.rank(own), ranks[user])
        found = server.score(own, ITEMS_BQ[user].numpy())
        _close(found.mean_Q, means[user])
        assert (found.variance_Q is None) == (variances is None)
        if found.variance_Q is not None and variances is not None:
            _close(found.variance_Q, variances[user])
        first = server.rank(own)
        first[:] = 0  # the caller's
        _close(server.rank(own), ranks[user])


def _close(found: Any, expected: Tensor) -> None:
    torch.testing.assert_close(torch.as_tensor(found).float(), expected, **TOLERANCE)


@NAMES
@HEADS
def test_one_more_rating(make: Make, episodes: Episodes, name: str, head: str) -> None:
    """Exact where the method says so; always repeatable, per user, and to be repeated."""
    learner = make(name, head=head)
    support = targets_of(episodes, head)
    support = support._replace(mask_BS=torch.ones_like(support.mask_BS))
    start = learner.adapt(support.first(2))
    first = learner.update(start, support.items_BS[:, 2], support.targets_BS[:, 2])
    state = learner.update(first, support.items_BS[:, 3], support.targets_BS[:, 3])
    found = learner.score_catalogue(state).mean
    if learner.exact_update:
        expected = learner.score_catalogue(learner.adapt(support.first(4))).mean
        torch.testing.assert_close(found, expected, **TOLERANCE)
    before = learner.score_catalogue(start).mean
    assert found.isfinite().all()
    if head == "rating":  # where a probability may be at its bound
        assert ((found - before).abs().amax(1) > 1e-4).all()
    torch.testing.assert_close(learner.score_catalogue(start).mean, before, rtol=0, atol=0)
    assert not any(value.requires_grad for value in state.values())
    with torch.inference_mode():
        other = learner.adapt(support.rows(slice(2, 3)).first(2))
        for k in (2, 3):
            items_B, targets_B = support.items_BS[2:3, k].clone(), support.targets_BS[2:3, k] * 1
            other = learner.update(other, items_B, targets_B)
        alone = learner.score_catalogue(other).mean
    torch.testing.assert_close(alone[0], found[2], **TOLERANCE)


@NAMES
def test_adapting_changes_no_parameter_and_works_in_inference_mode(
    make: Make, episodes: Episodes, name: str
) -> None:
    learner = make(name)
    before = {key: value.clone() for key, value in learner.theta.items()}
    expected = learner.score_catalogue(learner.adapt(episodes.support)).mean
    with torch.inference_mode():
        support = Support(*(field.clone() for field in episodes.support))
        actual = learner.score_catalogue(learner.adapt(support)).mean
    assert torch.equal(actual.clone(), expected)
    assert not expected.requires_grad
    for key, value in learner.theta.items():
        assert torch.equal(value, before[key])


@NAMES
@HEADS
def test_bundle_round_trip(
    make: Make, episodes: Episodes, tmp_path: Path, name: str, head: str
) -> None:
    learner = make(name, head=head)
    learner.to_bundle().save(tmp_path / "a")
    loaded = type(learner).from_bundle(Bundle.load(tmp_path / "a"))
    loaded.to_bundle().save(tmp_path / "b")
    for file in ("model.safetensors", "manifest.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    support = targets_of(episodes, head)
    assert torch.equal(
        loaded.score_catalogue(loaded.adapt(support)).mean,
        learner.score_catalogue(learner.adapt(support)).mean,
    )


@pytest.mark.parametrize("name", sorted(n for n, m in ALGORITHMS.items() if m.starts_as_backbone))
def test_untrained_and_without_support_is_the_backbone(
    make: Make, episodes: Episodes, name: str
) -> None:
    learner = make(name, noise=0.0)
    state = learner.adapt(episodes.support.first(0))
    table = learner.backbone
    mean_BD = episodes.support.users_BF @ table.prior_FD
    expected = table.offset_CN[0] + mean_BD @ table.features_CND[0].T
    torch.testing.assert_close(learner.score_catalogue(state).mean, expected, **TOLERANCE)


@NAMES
def test_kind_is_the_name(name: str) -> None:
    assert ALGORITHMS[name].kind == name


def test_params_name_the_key_at_fault() -> None:
    with pytest.raises(ParamsError, match=r"algorithms\.mamml: unknown algorithm; .*maml"):
        check_section("mamml", {})
    with pytest.raises(ParamsError, match=r"algorithms\.finetune: outer_rate: unknown key"):
        check_section("finetune", {"outer_rate": 0.1})
    with pytest.raises(ParamsError, match=r"algorithms\.bayes_head: outer_rate.*-1"):
        check_section("bayes_head", {"outer_rate": -1.0})
