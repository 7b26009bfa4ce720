"""A promoted method with its catalogue: a support set in, recommendations out.

The input is one user, or a list of users, each ``{"items": [...], "ratings": [...]}`` with item
keys of the dataset and ratings on its scale; both may be empty, and ``"user"`` may hold attributes.
A method that was learnt from data without ratings takes items alone, each as a like. The parameter
``k`` is the number of recommendations. For each user the output is
``{"recommendations": [{"item", "title", "score"}, ...], "unknown_items": [...]}``.

Legend: B users, K recommendations, N items with the unknown one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coldstart.data.episodes import Support
from coldstart.data.features import UserEncoder
from coldstart.data.requests import Requests, whole_number
from coldstart.data.units import Unit
from coldstart.methods import load_method
from coldstart.models.recommender import Recommender
from coldstart.models.server import Server
from coldstart.params import Scale
from coldstart.schema import UNKNOWN_ITEM

FACTS = "serving.json"
ITEMS = "items.json"
ENCODER = "encoder.json"
BUNDLE = "bundle"
USERS = "users.safetensors"
"""Hashes of the keys of the users who were learnt from; serving itself does not read it."""
DEFAULT_K = 10
MAX_K = 1000


@dataclass(frozen=True)
class Facts:
    """What serving must know besides the bundle."""

    dataset: str
    method: str
    head: str
    min_rating: float | None  # None, as are the next two: learnt from data without ratings
    max_rating: float | None
    like: float | None
    unit: Unit  # of the method's targets; before there were units, rating points

    @property
    def scale(self) -> Scale | None:
        """Of ratings, if there were any."""
        if self.min_rating is None or self.max_rating is None or self.like is None:
            return None
        return Scale(self.min_rating, self.max_rating, self.like)

    def save(self, folder: Path) -> None:
        """Write as JSON."""
        content = asdict(self) | {"unit": self.unit._asdict()}
        (folder / FACTS).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Facts:
        """The inverse of :meth:`save`."""
        content = json.loads((folder / FACTS).read_text())
        return cls(**content | {"unit": Unit(**content.get("unit", {}))})


Best = list[tuple[int, float]]
"""Rows of the catalogue and their predicted targets, best first."""


class Served:
    """A bundle with what turns keys, ratings and attributes into tensors and back."""

    def __init__(
        self,
        method: Recommender,
        facts: Facts,
        keys: Sequence[str],
        titles: Sequence[str],
        encoder: UserEncoder,
    ) -> None:
        """Index the catalogue; row 0 of ``keys`` and ``titles`` is the unknown item."""
        self.method = method
        self.facts = facts
        self.encoder = encoder
        self.keys = list(keys)
        known = list(zip(self.keys, titles, strict=True))
        del known[UNKNOWN_ITEM]
        self.titles = dict(known)
        self._requests = Requests(self.keys, encoder, facts.scale, facts.head, facts.unit)

    @classmethod
    def load(cls, folder: Path) -> Served:
        """The inverse of :meth:`save`."""
        items = json.loads((folder / ITEMS).read_text(encoding="utf-8"))
        return cls(
            load_method(folder / BUNDLE),
            Facts.load(folder),
            items["keys"],
            items["titles"],
            UserEncoder.model_validate_json((folder / ENCODER).read_bytes()),
        )

    def save(self, folder: Path) -> None:
        """Write everything that serving needs; the same content gives the same bytes."""
        self.method.to_bundle().save(folder / BUNDLE)
        self.facts.save(folder)
        catalogue = {"keys": self.keys, "titles": ["", *self.titles.values()]}
        text = json.dumps(catalogue, ensure_ascii=False)
        (folder / ITEMS).write_text(text + "\n", encoding="utf-8")
        encoder = self.encoder.model_dump_json(indent=1)
        (folder / ENCODER).write_text(encoder + "\n", encoding="utf-8")

    def recommend(self, users: Sequence[Mapping[Any, Any]], k: Any) -> list[dict[str, Any]]:
        """The ``k`` best items that each user has not rated, best first.

        Raises:
            DataError: names the user's position and the field, item or rating at fault, or ``k``.
        """
        k = whole_number(k, "k", 1, MAX_K)
        if not users:
            return []
        support, unknown = self._requests.support(users)
        alone = len(users) == 1  # as a service meets them
        best = [self._best_alone(support, k)] if alone else self._best_of_each(support, k)
        return [
            {"recommendations": self._names(found), "unknown_items": strangers}
            for found, strangers in zip(best, unknown, strict=True)
        ]

    @cached_property
    def _server(self) -> Server:
        return self.method.serve()

    def _best_alone(self, support: Support, k: int) -> Best:
        """Of one user, whose support has no padding."""
        items_S = support.items_BS[0].numpy()
        targets_S, features_F = support.targets_BS[0].numpy(), support.users_BF[0].numpy()
        state = self._server.adapt(items_S, targets_S, features_F)
        ranks_N = self._server.rank(state)
        ranks_N[UNKNOWN_ITEM] = ranks_N[items_S] = -np.inf
        ranks_K, rows_K = torch.from_numpy(ranks_N).topk(min(k, len(self.keys) - 1))
        scores_K = self._server.score(state, rows_K.numpy()).mean_Q
        return _known(scores_K.tolist(), rows_K.tolist(), ranks_K.tolist())

    @torch.inference_mode()
    def _best_of_each(self, support: Support, k: int) -> list[Best]:
        state = self.method.adapt(support)
        ranks_BN = self.method.rank_catalogue(state)
        ranks_BN = ranks_BN.index_fill(1, torch.tensor([UNKNOWN_ITEM]), -torch.inf)
        ranks_BN = ranks_BN.scatter(1, support.items_BS, -torch.inf)
        ranks_BK, rows_BK = ranks_BN.topk(min(k, len(self.keys) - 1), dim=1)
        scores_BK = self.method.score(state, rows_BK).mean
        each = zip(scores_BK.tolist(), rows_BK.tolist(), ranks_BK.tolist(), strict=True)
        return [_known(*user) for user in each]

    def _names(self, best: Best) -> list[dict[str, Any]]:
        low, high = 0.0, 1.0
        if self.facts.head == "rating" and self.facts.scale is not None:
            low, high, _ = self.facts.scale
        return [
            {
                "item": self.keys[row],
                "title": self.titles[self.keys[row]],
                "score": min(max(self.facts.unit.rating(score), low), high),
            }
            for row, score in best
        ]


def _known(scores: list[float], rows: list[int], ranks: list[float]) -> Best:
    """Without what fills up a list that is longer than the catalogue of other items."""
    found = zip(rows, scores, ranks, strict=True)
    return [(row, score) for row, score, rank in found if rank > -math.inf]
