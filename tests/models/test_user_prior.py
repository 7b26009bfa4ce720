"""The prior over users, recovered from ratings that were drawn from a known one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from coldstart.data.episodes import History, Support
from coldstart.models import user_prior
from coldstart.models.backbone import Backbone
from coldstart.models.blocks import blocks
from coldstart.models.description import chosen, descriptions
from coldstart.models.foldin import Items, evidence
from coldstart.models.user_prior import unfitted, with_choice, with_user_prior
from coldstart.params import UserPriorParams

U, N, D, R_EACH = 600, 60, 3, 30
COVARIANCE = torch.tensor([[0.4, 0.1, 0.0], [0.1, 0.3, -0.1], [0.0, -0.1, 0.2]])
NOISE = 0.5
PARAMS = UserPriorParams(damping=2.0, penalty=1.0, draws=4, max_support=10)


def _drawn(taste: float) -> tuple[Backbone, History]:
    """Ratings of users; with ``taste``, a user with a high third weight picks items high in it."""
    generator = torch.Generator().manual_seed(0)
    x_ND = torch.randn(N, D, generator=generator)
    x_ND[:, 0] = 1
    root = torch.linalg.cholesky(COVARIANCE)
    w_UD = torch.randn(U, D, generator=generator) @ root.mT
    keys_UN = torch.rand(U, N, generator=generator) + taste * w_UD[:, 2:] * x_ND[:, 2]
    items_UR = keys_UN.topk(R_EACH).indices.sort(1).values
    users_R, items_R = torch.arange(U).repeat_interleave(R_EACH), items_UR.flatten()
    noise_R = NOISE**0.5 * torch.randn(len(users_R), generator=generator)
    history = History(
        users_R,
        items_R,
        3 + (x_ND[items_R] * w_UD[users_R]).sum(1) + noise_R,
        n_users=U,
        n_items=N,
        user_features_UF=torch.zeros(U, 0),
        item_features_NG=torch.zeros(N, 0),
    )
    backbone = Backbone(
        kind="mf",
        features_CND=x_ND[None],
        offset_CN=torch.full((1, N), 3.0),
        count_CN=torch.bincount(items_R, minlength=N).float()[None],
        prior_FD=torch.zeros(0, D),
        group_U=torch.zeros(U, dtype=torch.int64),
        side_NG=torch.zeros(N, 0),
        **unfitted(history, D),
    )
    return backbone, history


def test_covariance_and_noise_are_those_that_drew_the_ratings() -> None:
    fitted = with_user_prior(*_drawn(taste=0.0))
    torch.testing.assert_close(fitted.prior_DD, COVARIANCE, rtol=0.0, atol=0.06)
    assert float(fitted.noise) == pytest.approx(NOISE, rel=0.03)


def test_before_it_is_estimated_no_choice_says_anything() -> None:
    backbone, history = _drawn(taste=2.0)
    assert not _explained(backbone).any()
    assert float(backbone.noise) == pytest.approx(float(history.targets_R.var()), rel=1e-3)


def test_a_choice_that_says_nothing_moves_nobody() -> None:
    backbone, history = _drawn(taste=0.0)
    fitted = with_choice(with_user_prior(backbone, history), history, PARAMS, seed=0)
    moved_D = _explained(fitted).square().mean(0)
    assert (moved_D < 0.02 * COVARIANCE.diagonal()).all()


def _cross_fitted(backbone: Backbone) -> Backbone:
    """Two groups with the true table each; what all users share belongs to other items."""
    wrong_N = torch.roll(torch.arange(N), 7)

    def tables(first: torch.Tensor) -> torch.Tensor:
        return torch.cat([first[:, wrong_N], first, first])

    return replace(
        backbone,
        features_CND=tables(backbone.features_CND),
        offset_CN=tables(backbone.offset_CN),
        count_CN=tables(backbone.count_CN),
        group_U=1 + torch.arange(U) % 2,
    )


def test_a_user_is_read_from_the_table_that_has_not_seen_them() -> None:
    backbone, history = _drawn(taste=0.0)
    fitted, crossfitted = (with_user_prior(b, history) for b in (backbone, _cross_fitted(backbone)))
    assert torch.equal(crossfitted.prior_DD, fitted.prior_DD)
    assert torch.equal(crossfitted.noise, fitted.noise)


@pytest.mark.parametrize("uncertain", [False, True])
def test_sums_are_over_a_users_ratings_in_the_users_table(uncertain: bool) -> None:
    backbone, history = _drawn(taste=0.0)
    backbone = _cross_fitted(backbone)
    if uncertain:
        root_NDD = torch.randn(N, D, D, generator=torch.Generator().manual_seed(1))
        backbone = replace(backbone, covariance_NDD=root_NDD @ root_NDD.mT)
    found = user_prior._sums(backbone, history).evidence
    own = backbone.covariance_NDD
    for user in (0, 1, 7):
        table, mine = backbone.group_U[user], history.users_R == user
        items_S, y_S = history.items_R[mine], history.targets_R[mine].double()
        items = Items(
            backbone.features_CND[table, items_S].double()[None],
            backbone.offset_CN[table, items_S].double()[None],
            None if own is None else own[items_S].double()[None],
        )
        by_hand = evidence(items, y_S[None], torch.ones(1, len(y_S)).double())
        for sums, one in zip(found, by_hand, strict=True):
            torch.testing.assert_close(sums[user], one[0])


def test_users_are_read_in_blocks_as_they_are_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, history = _drawn(taste=2.0)
    at_once = with_choice(with_user_prior(backbone, history), history, PARAMS, seed=0)
    monkeypatch.setattr(user_prior, "blocks", lambda n: blocks(n, 70))
    in_blocks = with_choice(with_user_prior(backbone, history), history, PARAMS, seed=0)
    for name, value in at_once.tensors().items():
        torch.testing.assert_close(in_blocks.tensors()[name], value)


@pytest.mark.parametrize("crossfitted", [False, True])
def test_a_choice_that_follows_taste_predicts_it(crossfitted: bool) -> None:
    backbone, history = _drawn(taste=2.0)
    if crossfitted:
        backbone = _cross_fitted(backbone)
    plain = with_user_prior(backbone, history)
    fitted = with_choice(plain, history, PARAMS, seed=0)
    assert float(fitted.choice_damping) == PARAMS.damping
    # items high in the third feature speak for a high third weight, of which less is left to learn
    high = torch.zeros(1, fitted.choice_JD.shape[0])
    high[0, 1] = 1.0
    assert float((high @ fitted.choice_JD)[0, 2]) > 0.1
    left_D = fitted.prior_DD.diagonal() / plain.prior_DD.diagonal()
    assert float(left_D[2]) < 0.7
    assert float(left_D[:2].min()) > 0.8


def _explained(fitted: Backbone) -> torch.Tensor:
    """What the choice of each single item adds to the prior mean: ``[N, D]``."""
    support = Support(
        torch.arange(N)[:, None],
        torch.zeros(N, 1),
        torch.ones(N, 1, dtype=torch.bool),
        torch.zeros(N, 0),
        torch.zeros(N, dtype=torch.int64),
    )
    return chosen(descriptions(fitted), support) @ fitted.choice_JD / (1 + fitted.choice_damping)
