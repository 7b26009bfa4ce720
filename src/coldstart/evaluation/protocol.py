"""Evaluate one fitted method on one set of users: nested supports against the same query.

Shapes: B users, S support, Q query, N items with the unknown one, T the top of a ranking.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from coldstart.evaluation import formulas
from coldstart.evaluation.evaluation_set import EvaluationSet
from coldstart.evaluation.metrics import LEVELS
from coldstart.models.recommender import Prediction, Recommender, State

NDCG_TOP = 5
CHUNK = 256
"""Users adapted to at once; changes no result."""
CELLS = 1 << 17
"""Scores of the catalogue held at once: users times items. A network's activations are some hundred
times as large, and faster while they fit into the cache; changes no result."""


class Evaluation(NamedTuple):
    """Results of one method on one set of users."""

    users: pd.DataFrame  # user, key, k and a column per metric
    coverage: dict[int, float]  # shots -> share of the catalogue in anybody's top 10


def tie_breaks(seeds_B: Tensor, items: Tensor) -> Tensor:
    """Independent uniform integers in ``[0, 2^31)`` per user and item (splitmix64).

    ``items`` is ``[N]`` or ``[B, Q]``; the same pair always gives the same number.
    """
    x = seeds_B[:, None] + (items + 1) * -0x61C8864680B583EB  # the golden ratio, wrapping
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        x = (x ^ ((x >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return (x >> 33) & 0x7FFFFFFF


@torch.no_grad()
def evaluate(
    method: Recommender, target: EvaluationSet, shots: Iterable[int], *, catalogue: bool
) -> Evaluation:
    """Per-user metrics of ``method`` for each support size.

    ``catalogue`` adds the metrics of ranking everything but the support, for ``ranked_B``.

    Raises:
        EvaluationError: the method predicts a NaN or an infinity.
    """
    frames: list[pd.DataFrame] = []
    shown = {k: torch.zeros(method.n_items, dtype=torch.bool) for k in shots}
    for part in _chunks(target):
        for k in shown:
            support = part.episodes.support.first(k)
            state = method.adapt(support)
            values = _query_metrics(method.score(state, part.episodes.items_BQ), part)
            if catalogue:
                rows = part.ranked_B.nonzero()[:, 0]
                own = {name: tensor[rows] for name, tensor in state.items()}
                ranked = part.rows(rows)
                hidden_BX = torch.cat([support.items_BS[rows], ranked.left_out_BX], 1)
                top_BT = recommend(method, own, hidden_BX, ranked.tie_seeds_B)
                shown[k][top_BT[top_BT >= 0]] = True
                for name, found_B in _list_metrics(top_BT, hidden_BX, ranked).items():
                    values[name] = torch.full((part.n_users,), torch.nan).double()
                    values[name][rows] = found_B
            frames.append(_frame(part, k, values))
    coverage = {k: float(seen.sum()) / max(method.n_items - 1, 1) for k, seen in shown.items()}
    users = pd.concat(frames, ignore_index=True).sort_values(["user", "k"], ignore_index=True)
    return Evaluation(users, coverage if catalogue else {})


def recommend(method: Recommender, state: State, hidden_BX: Tensor, tie_seeds_B: Tensor) -> Tensor:
    """The top of the whole catalogue but ``hidden_BX``, the support at least: int64 ``[B, T]``."""
    items_N = torch.arange(method.n_items)
    rows = max(1, CELLS // method.n_items)
    tops = []
    for start in range(0, len(hidden_BX), rows):
        part = slice(start, start + rows)
        scores_BN = method.rank_catalogue({name: t[part] for name, t in state.items()})
        ties_BN = tie_breaks(tie_seeds_B[part], items_N)
        tops.append(formulas.top_items(scores_BN, hidden_BX[part], ties_BN))
    return torch.cat(tops) if tops else torch.empty((0, formulas.TOP), dtype=torch.int64)


def _chunks(target: EvaluationSet) -> Iterator[EvaluationSet]:
    for start in range(0, target.n_users, CHUNK):
        yield target.rows(slice(start, start + CHUNK))


def _query_metrics(predicted: Prediction, part: EvaluationSet) -> dict[str, Tensor]:
    mask_BQ, mean_BQ, truth_BQ = part.episodes.mask_BQ, predicted.mean, part.truth
    ties_BQ = tie_breaks(part.tie_seeds_B, part.episodes.items_BQ)
    values = {
        "ndcg@5": formulas.graded_ndcg(mean_BQ, part.gains, mask_BQ, ties_BQ, NDCG_TOP),
        "auc": formulas.auc(mean_BQ, part.liked, mask_BQ),
    }
    if part.head == "ranking":
        return values
    clipped_BQ = part.predictions(mean_BQ)
    if part.head == "click":
        return {"log_loss": formulas.log_loss(clipped_BQ, truth_BQ, mask_BQ), **values}
    values["mse"] = formulas.squared_error(clipped_BQ, truth_BQ, mask_BQ)
    values["mae"] = formulas.absolute_error(clipped_BQ, truth_BQ, mask_BQ)
    cold_BQ = mask_BQ & part.catalogue.cold_N[part.episodes.items_BQ]
    values["mse_cold_items"] = formulas.squared_error(clipped_BQ, truth_BQ, cold_BQ)
    if predicted.variance is not None:
        variance_BQ = part.unit.variance_outside(predicted.variance)
        normal = (part.unit.outside(mean_BQ), variance_BQ, truth_BQ, mask_BQ)
        values["nll"] = formulas.gaussian_nll(*normal)
        values |= {name: formulas.covered(*normal, level) for name, level in LEVELS.items()}
        values["covered_cold@80"] = formulas.covered(*normal[:3], cold_BQ, 0.8)
    return values


def _list_metrics(top_BT: Tensor, hidden_BX: Tensor, part: EvaluationSet) -> dict[str, Tensor]:
    """Of lists ``top_BT`` of everything but ``hidden_BX``; right is what the user likes of it."""
    hidden_BL = (part.likes_BL[:, :, None] == hidden_BX[:, None, :]).any(2)
    likes_BL = part.likes_BL.masked_fill(hidden_BL, 0)
    hits_BT = formulas.hits(top_BT, likes_BL)
    n_likes_B = (likes_BL != 0).sum(1)
    third_N = part.catalogue.third_N
    third_BL, third_BT = third_N[likes_BL.clamp(min=0)], third_N[top_BT.clamp(min=0)]
    values = {
        "list_recall@10": formulas.truncated_recall(hits_BT, n_likes_B),
        "list_ndcg@10": formulas.binary_ndcg(hits_BT, n_likes_B),
        "list_mrr@10": formulas.reciprocal_rank(hits_BT, n_likes_B),
    }
    for third, name in enumerate(("head", "middle", "tail")):
        n_B = ((third_BL == third) & (likes_BL != 0)).sum(1)
        values[f"list_recall_{name}@10"] = formulas.truncated_recall(
            hits_BT & (third_BT == third), n_B
        )
    cold_N = part.catalogue.cold_N
    n_cold_B = (cold_N[likes_BL.clamp(min=0)] & (likes_BL != 0)).sum(1)
    cold_BT = cold_N[top_BT.clamp(min=0)]
    values["list_recall_cold@10"] = formulas.truncated_recall(hits_BT & cold_BT, n_cold_B)
    of_query_BT = formulas.hits(top_BT, part.episodes.items_BQ.masked_fill(~part.liked, 0))
    values["recall@10"] = formulas.recall(of_query_BT, part.liked.sum(1))
    values["novelty"] = formulas.novelty(top_BT, part.catalogue.share_N)
    values["popular@10"] = formulas.mean_of(
        part.catalogue.popular_N[top_BT.clamp(min=0)], top_BT >= 0
    )
    return values


def _frame(part: EvaluationSet, k: int, values: dict[str, Tensor]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user": part.episodes.users_B.numpy(),
            "key": list(part.keys),
            "k": k,
            **{name: value.numpy() for name, value in values.items()},
        }
    )
