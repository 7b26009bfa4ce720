"""A model of another library as one of our recommenders: new users in, a score per item out.

Shapes: B users, S support, Q query, N items with the unknown one (row 0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coldstart.data.episodes import History, Support
from coldstart.data.prepared import Prepared
from coldstart.data.units import Unit
from coldstart.models.recommender import Prediction, State
from unbundled import Unbundled

Setting = dict[str, Any]
Floats = NDArray[np.float32]
Scorer = Callable[[Support], Floats]
"""Scores ``[B, N]`` of new users; NaN where the library has none."""
SEED = 0


class Peer(NamedTuple):
    """A method of another library, and the settings among which validation users choose."""

    title: str
    package: str | None  # as on PyPI; None: a closed form of this folder
    rating: bool  # whether its scores are rating points; else it only ranks
    fit: Callable[[Prepared, int, Setting], Scorer]  # of a fold
    space: Mapping[str, Sequence[Any]]  # values of each field; all combinations may be tried


def rated_history(prepared: Prepared, fold: int) -> History:
    """The history in rating points: another library standardises as it likes, if at all."""
    history = prepared.history(fold)
    return history._replace(targets_R=prepared.unit(fold).outside(history.targets_R).float())


def rated_support(support: Support, unit: Unit) -> Support:
    """The support in rating points."""
    return support._replace(targets_BS=unit.outside(support.targets_BS).float())


def known_ratings(support: Support) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Items and targets of each user in turn, without padding and the unknown item."""
    for items_S, targets_S, mask_S in zip(*support[:3], strict=True):
        kept_S = mask_S & (items_S > 0)
        yield items_S[kept_S].numpy(), targets_S[kept_S].numpy()


def item_means(history: History, damping: float = 5.0) -> Floats:
    """What a library that cannot score an item or user falls back to: damped mean ratings."""
    targets_R = history.targets_R.double()
    count_N = torch.bincount(history.items_R, minlength=history.n_items)
    sum_N = torch.bincount(history.items_R, targets_R, minlength=history.n_items)
    means: Floats = ((sum_N + damping * targets_R.mean()) / (count_N + damping)).float().numpy()
    return means


def likes_of_items(history: History) -> Floats:
    """The same for a library that ranks: number of likes."""
    liked_R = history.items_R[history.targets_R > history.like]
    counts: Floats = torch.bincount(liked_R, minlength=history.n_items).float().numpy()
    return counts


def complete(scores_BN: Floats, fallback_N: Floats, *, rating: bool) -> Floats:
    """Fill in what the library did not score.

    A rating that is missing becomes the fallback's. Scores of a ranker have a scale of their own:
    what it left out comes last, in the order of the fallback.
    """
    missing_BN = ~np.isfinite(scores_BN)
    if rating:
        return np.where(missing_BN, fallback_N, scores_BN)
    lowest_B1 = np.min(scores_BN, axis=1, where=~missing_BN, initial=np.inf)[:, None]
    below_B1 = np.where(np.isfinite(lowest_B1), lowest_B1, 0.0) - 1
    order_N = fallback_N / (fallback_N.max() + 1)  # from 0 to less than 1
    return np.where(missing_BN, below_B1 + order_N, scores_BN)


@dataclass(frozen=True)
class PeerRecommender(Unbundled):
    """Adapting asks the library once for all scores; the state is what it answered.

    A library that predicts ratings reads and predicts rating points, this adapter targets in
    ``unit``; one that ranks is given targets, of which it takes whether they are likes.
    """

    kind: ClassVar[str] = "peer"
    scorer: Scorer
    fallback_N: Floats
    rating: bool
    unit: Unit

    @property
    def n_items(self) -> int:  # type: ignore[override]
        """Length of the catalogue."""
        return len(self.fallback_N)

    def adapt(self, support: Support) -> State:
        """All scores of each user."""
        found_BN = self.scorer(rated_support(support, self.unit) if self.rating else support)
        filled_BN = complete(found_BN, self.fallback_N, rating=self.rating)
        score_BN = torch.from_numpy(filled_BN.astype(np.float32))
        return {"score_BN": self.unit.inside(score_BN) if self.rating else score_BN}

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """Look up."""
        return Prediction(state["score_BN"].gather(1, items_BQ))

    def score_catalogue(self, state: State) -> Prediction:
        """All of them."""
        return Prediction(state["score_BN"])


def recommender(peer: Peer, prepared: Prepared, fold: int, setting: Setting) -> PeerRecommender:
    """The peer, fitted on the historical users of a fold."""
    rated = rated_history(prepared, fold)
    fallback_N = item_means(rated) if peer.rating else likes_of_items(prepared.history(fold))
    scorer = peer.fit(prepared, fold, setting)
    return PeerRecommender(scorer, fallback_N, peer.rating, prepared.unit(fold))
