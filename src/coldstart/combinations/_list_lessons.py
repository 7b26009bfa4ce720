"""What the weights of a list are learnt from: historical users as if they were new.

A lesson is a user with a random support; what is right is all that they like outside it. No signal
has seen the user's own ratings. The catalogue of a lesson is a sample: the items that the
unweighted signals put on top, and random others, which count for those that were not drawn.

Legend: L lessons, B users of a batch, S support, N items, Z candidates, J signals.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from coldstart.combinations._list_signals import Company, Signals
from coldstart.combinations._list_strangers import Crowd
from coldstart.data.episodes import Episodes, EpisodeSampler, History, Support

USERS = 2048
"""Most users of one draw."""
BATCH = 128
"""Users whose catalogues are held at once."""
BEST, OTHERS = 200, 300
"""Candidates from the top of the catalogue, and from the rest of it."""


class Lessons(NamedTuple):
    """Users with something left to like."""

    signals_LZJ: Tensor
    log_weight_LZ: Tensor  # how many items a candidate stands for; -inf where it is none
    liked_LZ: Tensor  # bool
    count_L: Tensor  # size of the support


def lessons(
    signals: Signals,
    company: Company,
    crowd: Crowd,
    history: History,
    *,
    draws: int,
    max_support: int,
    least: int,
    seed: int,
) -> Lessons:
    """Draw supports ``draws`` times for every user who has enough ratings, or for ``USERS``.

    Args:
        signals: with the backbone's cross-fitted tables.
        company: fitted on the same history.
        crowd: likewise.
        history: of users with two ratings at least.
        draws: supports of a user.
        max_support: most ratings in one; half of the sizes K are uniform, the others more often
            small, since a list changes with log(1 + K).
        least: ratings of a user who is asked, unless nobody has as many: others like so little
            that their lists say nothing of those that are judged.
        seed: of everything random.
    """
    generator = torch.Generator().manual_seed(seed)
    asked = _busy(history, least)
    n_users = int((torch.bincount(asked.users_R) >= 2).sum())
    sampler = EpisodeSampler(
        asked,
        batch_size=min(n_users, USERS),
        query_size=1,
        max_support=max_support,
        group_U=signals.backbone.group_U,
        generator=generator,
    )
    likes_UN = _likes(history)
    parts = []
    for _ in range(draws):
        episodes = _shortened(sampler.sample(), generator)
        for table in torch.unique(episodes.support.crossfit_B).tolist():
            rows_B = (episodes.support.crossfit_B == table).nonzero()[:, 0]
            for rows in rows_B.split(BATCH):
                part = episodes.rows(rows)
                parts.append(_ask(signals, company, crowd, part, table, likes_UN, generator))
    return Lessons(*map(torch.cat, zip(*parts, strict=True)))


def _busy(history: History, least: int) -> History:
    """The users who have at least so many ratings; all where nobody has."""
    count_U = torch.bincount(history.users_R, minlength=history.n_users)
    busy_R = count_U[history.users_R] >= least
    if not busy_R.any():
        return history
    rows = {name: getattr(history, name)[busy_R] for name in ("users_R", "items_R", "targets_R")}
    return history._replace(**rows)


def _shortened(episodes: Episodes, generator: torch.Generator) -> Episodes:
    """Of half of the supports only the first ``(2 + K)^u - 1``, rounded down, with u uniform."""
    support = episodes.support
    most_B = support.mask_BS.sum(1)
    place_B = (2 * torch.rand(len(most_B), generator=generator)).clamp(max=1)
    size_B = ((most_B + 2).double().pow(place_B) - 1).long().minimum(most_B)
    mask_BS = support.mask_BS & (torch.arange(support.mask_BS.shape[1]) < size_B[:, None])
    items_BS, targets_BS = support.items_BS * mask_BS, support.targets_BS * mask_BS
    return episodes._replace(
        support=support._replace(items_BS=items_BS, targets_BS=targets_BS, mask_BS=mask_BS)
    )


def _likes(history: History) -> sparse.csr_array:
    liked_R = (history.targets_R > history.like).numpy()
    cells = history.users_R.numpy()[liked_R], history.items_R.numpy()[liked_R]
    shape = (history.n_users, history.n_items)
    return sparse.csr_array((np.ones(liked_R.sum(), dtype=bool), cells), shape=shape)


def _ask(
    signals: Signals,
    company: Company,
    crowd: Crowd,
    episodes: Episodes,
    table: int,
    likes_UN: sparse.csr_array,
    generator: torch.Generator,
) -> Lessons:
    support, users_B = episodes.support, episodes.users_B
    weights_BM = _in_columns(signals, support)
    state = signals.adapt(support) | {"company_BM": company.without(users_B, weights_BM)}
    stranger_BN, known_BN = crowd.without(users_B)
    signals_BNJ = torch.stack(signals.of_table(state, table, stranger_BN, known_BN), -1)
    hidden_BN = torch.zeros(signals_BNJ.shape[:2], dtype=torch.bool)
    hidden_BN.scatter_(1, support.items_BS, True)
    hidden_BN[:, 0] = True  # the unknown item, also where the support is padded
    items_BZ, log_weight_BZ = _candidates(signals_BNJ[..., :2].sum(-1), hidden_BN, generator)
    liked_BN = torch.from_numpy(likes_UN[users_B.numpy()].toarray()) & ~hidden_BN
    liked_BZ = liked_BN.gather(1, items_BZ)
    asked_B = liked_BZ.any(1)
    index_BZJ = items_BZ.unsqueeze(-1).expand(-1, -1, signals_BNJ.shape[-1])
    found = Lessons(
        signals_BNJ.gather(1, index_BZJ), log_weight_BZ, liked_BZ, support.mask_BS.sum(1)
    )
    return Lessons(*(field[asked_B] for field in found))


def _in_columns(signals: Signals, support: Support) -> Tensor:
    """Weights of the support by item: ``[B, M]``."""
    rows_BS = signals.rows[support.items_BS]
    weights_BX = torch.zeros(support.n_users, len(signals.items_M) + 1)
    weights_BX.scatter_add_(1, rows_BS, signals.weights(support))
    return weights_BX[:, 1:]


def _candidates(
    scores_BN: Tensor, hidden_BN: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Items, and the logarithm of how many each stands for: ``[B, Z]`` both."""
    n_items = scores_BN.shape[1]
    best = min(BEST, n_items)
    items_BX = scores_BN.masked_fill(hidden_BN, -torch.inf).topk(best, 1).indices
    drawn_BN = torch.rand(scores_BN.shape, generator=generator).masked_fill(hidden_BN, -1.0)
    drawn_BN.scatter_(1, items_BX, -1.0)
    others = min(OTHERS, n_items - best)
    items_BY = drawn_BN.topk(others, 1).indices
    n_rest_B1 = (drawn_BN >= 0).sum(1, keepdim=True)
    stands_for_B1 = (n_rest_B1 / n_rest_B1.clamp(max=others).clamp(min=1)).log()
    log_weight_BZ = torch.cat(
        [torch.zeros(items_BX.shape), stands_for_B1.expand(items_BY.shape)], 1
    )
    items_BZ = torch.cat([items_BX, items_BY], 1)
    # a catalogue may have fewer items than candidates: what is hidden, or drawn twice, is none
    none_BY = drawn_BN.gather(1, items_BY) < 0
    none_BZ = torch.cat([hidden_BN.gather(1, items_BX), none_BY], 1)
    return items_BZ, log_weight_BZ.masked_fill(none_BZ, -torch.inf)
