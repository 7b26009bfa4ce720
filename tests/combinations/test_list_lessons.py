"""What lessons of a list ask and may have seen, and what weights recover from them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from coldstart.combinations import _list_lessons
from coldstart.combinations._list_lessons import Lessons, lessons
from coldstart.combinations._list_signals import Company, Signals
from coldstart.combinations._list_strangers import Crowd
from coldstart.combinations._list_weights import weights_by_shots
from coldstart.combinations.list import ListParams
from coldstart.data.episodes import Episodes, EpisodeSampler, History


def test_lessons_are_of_users_who_have_enough_ratings(
    signals: Signals, company: Company, crowd: Crowd, history: History
) -> None:
    count_U = torch.bincount(history.users_R, minlength=history.n_users)
    least = int(count_U.max())

    def how_many(least: int) -> int:
        found = lessons(
            signals, company, crowd, history, draws=1, max_support=3, least=least, seed=0
        )
        return len(found.count_L)

    assert how_many(least) <= int((count_U >= least).sum()) < how_many(2)
    assert how_many(least + 1) == how_many(2)  # nobody has as many


def test_no_signal_of_a_lesson_has_seen_the_users_own_ratings(
    signals: Signals,
    company: Company,
    crowd: Crowd,
    history: History,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Choice and like come from the table without the user's group; of the others see below."""
    asked: list[tuple[Episodes, int]] = []
    original = _list_lessons._ask

    def spy(first: Any, second: Any, third: Any, part: Episodes, table: int, *rest: Any) -> Lessons:
        asked.append((part, table))
        return original(first, second, third, part, table, *rest)

    monkeypatch.setattr(_list_lessons, "_ask", spy)
    lessons(signals, company, crowd, history, draws=1, max_support=10, least=2, seed=0)
    for part, table in asked:
        assert (signals.backbone.group_U[part.users_B] == table).all()
    assert {table for _, table in asked} == set(range(1, len(signals.backbone.features_CND)))


def _without(history: History, user: int) -> History:
    rest_R = history.users_R != user
    rows = {name: getattr(history, name)[rest_R] for name in ("users_R", "items_R", "targets_R")}
    return history._replace(**rows)


@pytest.mark.parametrize("k", [0, 3])
def test_a_lesson_is_asked_by_what_was_never_learnt_from_the_user(
    signals: Signals,
    company: Company,
    crowd: Crowd,
    history: History,
    section: ListParams,
    monkeypatch: pytest.MonkeyPatch,
    k: int,
) -> None:
    """As if company and crowd had been fitted on everybody else."""

    def everything(scores_BN: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
        items_BN = torch.arange(scores_BN.shape[1]).expand(len(scores_BN), -1)
        return items_BN, torch.zeros(items_BN.shape)

    monkeypatch.setattr(_list_lessons, "_candidates", everything)
    sampler = EpisodeSampler(
        history,
        batch_size=4,
        query_size=1,
        max_support=k,
        group_U=signals.backbone.group_U,
        generator=torch.Generator().manual_seed(0),
    )
    drawn = sampler.sample()
    for row in range(4):
        one = drawn.rows(slice(row, row + 1))
        user, table = int(one.users_B[0]), int(one.support.crossfit_B[0])
        others = _without(history, user)
        company_2 = Company.fit(others, section.below, section.penalty, section.max_items)
        crowd_2 = Crowd.fit(others, company_2.items_M, section.held)
        backbone, below = signals.backbone, signals.below
        fitted = Signals(backbone, company_2.items_M, company_2.weights, below, crowd_2.strangers)
        stranger_1N = crowd_2.strangers.liked(one.support.users_BF)
        expected_1NJ = torch.stack(
            fitted.of_table(
                fitted.adapt(one.support), table, stranger_1N, crowd_2.strangers.known_N
            ),
            -1,
        )
        found = _list_lessons._ask(
            signals, company, crowd, one, table, _list_lessons._likes(history), torch.Generator()
        )
        fair_N = crowd_2.strangers.known_N.clone()  # what was the user's alone differs in company
        fair_N[one.support.items_BS] = False
        torch.testing.assert_close(
            found.signals_LZJ[:, fair_N], expected_1NJ[:, fair_N], rtol=2e-3, atol=2e-3
        )


def test_lessons_ask_for_likes_outside_the_support_and_know_the_whole_catalogue(
    signals: Signals, company: Company, crowd: Crowd, history: History
) -> None:
    found = lessons(signals, company, crowd, history, draws=2, max_support=10, least=2, seed=0)
    assert found.signals_LZJ.isfinite().all()
    assert found.liked_LZ.any(1).all()
    assert not (found.liked_LZ & found.log_weight_LZ.isinf()).any()
    # a small catalogue is a lesson's own: each item once, but the support and the unknown one
    open_L = found.log_weight_LZ.exp().sum(1)
    expected_L = (history.n_items - 1 - found.count_L).float()
    torch.testing.assert_close(open_L, expected_L)
    assert set(found.count_L.tolist()) == set(range(11))


def test_of_a_large_catalogue_candidates_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_list_lessons, "BEST", 3)
    monkeypatch.setattr(_list_lessons, "OTHERS", 4)
    scores_BN = torch.arange(20.0).expand(2, -1)
    hidden_BN = torch.zeros(2, 20, dtype=torch.bool)
    hidden_BN[:, 0] = hidden_BN[1, 18:] = True
    generator = torch.Generator().manual_seed(0)
    items_BZ, log_weight_BZ = _list_lessons._candidates(scores_BN, hidden_BN, generator)
    assert items_BZ[:, :3].tolist() == [[19, 18, 17], [17, 16, 15]]
    assert all(len(set(row)) == 7 for row in items_BZ.tolist())
    torch.testing.assert_close(
        log_weight_BZ.exp(), torch.tensor([[1.0] * 3 + [4.0] * 4, [1.0] * 3 + [3.5] * 4])
    )


def _planted(weight_of_company: float, n_lessons: int = 600) -> Lessons:
    generator = torch.Generator().manual_seed(1)
    signals_LZJ = torch.randn(n_lessons, 40, 3, generator=generator)
    count_L = torch.arange(n_lessons) % 11
    score_LZ = signals_LZJ[..., 0] + signals_LZJ[..., 1]
    score_LZ = score_LZ + weight_of_company * count_L[:, None].log1p() * signals_LZJ[..., 2]
    drawn_LZ = torch.distributions.Gumbel(0.0, 1.0).sample((n_lessons, 40)) * 0.5
    top_LZ = (score_LZ + drawn_LZ).topk(3, 1).indices
    liked_LZ = torch.zeros(n_lessons, 40, dtype=torch.bool).scatter(1, top_LZ, True)
    return Lessons(signals_LZJ, torch.zeros(n_lessons, 40), liked_LZ, count_L)


def test_weights_recover_what_company_counts_after_k_ratings() -> None:
    torch.manual_seed(0)
    weights_KJ = weights_by_shots(_planted(0.8), shrinkage=1e-4, most=10)
    expected_K = 0.8 * torch.arange(11).float().log1p()
    torch.testing.assert_close(weights_KJ[:, 1], expected_K, rtol=0.25, atol=0.15)
    torch.testing.assert_close(weights_KJ[:, 0], torch.ones(11), rtol=0.0, atol=0.25)
    assert weights_KJ[0].tolist() == [1.0, 0.0]  # a stranger's list is no matter of weights


def test_what_says_nothing_keeps_the_weight_of_the_start() -> None:
    start_KJ = torch.tensor([1.0, 0.0]).expand(6, -1)
    planted = _planted(0.8)
    same_LZJ = planted.signals_LZJ.clone()
    same_LZJ[..., 1:] = 0.5
    constant = planted._replace(signals_LZJ=same_LZJ)
    torch.testing.assert_close(weights_by_shots(constant, 0.1, most=5), start_KJ)
    nobody = Lessons(*(field[:0] for field in planted))
    torch.testing.assert_close(weights_by_shots(nobody, 0.1, most=5), start_KJ)
    held_KJ = weights_by_shots(planted, shrinkage=1e6, most=5)
    torch.testing.assert_close(held_KJ, start_KJ, rtol=0.0, atol=1e-3)
