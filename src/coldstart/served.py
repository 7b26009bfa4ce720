"""A promoted method with its catalogue: a support set in, recommendations out.

The input is one user, or a list of users, each ``{"items": [...], "ratings": [...]}`` with item
keys of the dataset and ratings on its scale; both may be empty, and ``"user"`` may hold attributes.
The parameter ``k`` is the number of recommendations. For each user the output is
``{"recommendations": [{"item", "title", "score"}, ...], "unknown_items": [...]}``.

Legend: B users, S support, N items with the unknown one, F user features.
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
from torch import Tensor

from coldstart.data.episodes import Support
from coldstart.data.features import UserEncoder
from coldstart.data.units import Unit
from coldstart.errors import DataError
from coldstart.methods import load_method
from coldstart.models.recommender import Recommender
from coldstart.models.server import Server
from coldstart.schema import UNKNOWN_ITEM

FACTS = "serving.json"
ITEMS = "items.json"
ENCODER = "encoder.json"
BUNDLE = "bundle"
DEFAULT_K = 10
MAX_K = 1000


@dataclass(frozen=True)
class Facts:
    """What serving must know besides the bundle."""

    dataset: str
    method: str
    head: str
    min_rating: float
    max_rating: float
    like: float
    fold: int  # whose cold users the method has never seen
    cut: int | None  # last second of what it has seen, with the temporal split
    unit: Unit  # of the method's targets; before there were units, rating points

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
        self._row = {key: row for row, key in enumerate(self.keys) if row != UNKNOWN_ITEM}

    @classmethod
    def load(cls, folder: Path) -> Served:
        """Read the folder that :func:`coldstart.registry.packaging.pack` wrote."""
        items = json.loads((folder / ITEMS).read_text(encoding="utf-8"))
        return cls(
            load_method(folder / BUNDLE),
            Facts.load(folder),
            items["keys"],
            items["titles"],
            UserEncoder.model_validate_json((folder / ENCODER).read_bytes()),
        )

    def recommend(self, users: Sequence[Mapping[Any, Any]], k: int) -> list[dict[str, Any]]:
        """The ``k`` best items that each user has not rated, best first.

        Raises:
            DataError: names the user's position and the field, item or rating at fault.
        """
        if not 1 <= k <= MAX_K:
            raise DataError(f"k: {k} is not allowed: must be between 1 and {MAX_K}")
        if not users:
            return []
        known: list[dict[int, float]] = []
        unknown: list[list[str]] = []
        for position, user in enumerate(users):
            rows, strangers = self._support(user, f"user {position}")
            known.append(rows)
            unknown.append(strangers)
        features = [self._features(user, f"user {i}") for i, user in enumerate(users)]
        if len(users) == 1:  # as a service meets them
            best = [self._best_alone(known[0], features[0], k)]
        else:
            best = self._best_of_each(self._batch(known, features), k)
        return [
            {"recommendations": self._names(found), "unknown_items": strangers}
            for found, strangers in zip(best, unknown, strict=True)
        ]

    @cached_property
    def _server(self) -> Server:
        return self.method.serve()

    def _best_alone(self, known: dict[int, float], features_F: Tensor, k: int) -> Best:
        items_S = np.array(list(known), dtype=np.int64)
        targets_S = np.array(list(known.values()), dtype=np.float32)
        state = self._server.adapt(items_S, targets_S, features_F.numpy())
        ranks_N = self._server.rank(state)
        ranks_N[UNKNOWN_ITEM] = ranks_N[items_S] = -np.inf
        ranks_K, rows_K = torch.from_numpy(ranks_N).topk(min(k, len(self._row)))
        scores_K = self._server.score(state, rows_K.numpy()).mean_Q
        return _known(scores_K.tolist(), rows_K.tolist(), ranks_K.tolist())

    @torch.inference_mode()
    def _best_of_each(self, support: Support, k: int) -> list[Best]:
        state = self.method.adapt(support)
        ranks_BN = self.method.rank_catalogue(state)
        ranks_BN = ranks_BN.index_fill(1, torch.tensor([UNKNOWN_ITEM]), -torch.inf)
        ranks_BN = ranks_BN.scatter(1, support.items_BS, -torch.inf)
        ranks_BK, rows_BK = ranks_BN.topk(min(k, len(self._row)), dim=1)
        scores_BK = self.method.score(state, rows_BK).mean
        each = zip(scores_BK.tolist(), rows_BK.tolist(), ranks_BK.tolist(), strict=True)
        return [_known(*user) for user in each]

    def _names(self, best: Best) -> list[dict[str, Any]]:
        low, high = (self.facts.min_rating, self.facts.max_rating)
        if self.facts.head != "rating":
            low, high = 0.0, 1.0
        return [
            {
                "item": self.keys[row],
                "title": self.titles[self.keys[row]],
                "score": min(max(self.facts.unit.rating(score), low), high),
            }
            for row, score in best
        ]

    def _support(self, user: Mapping[Any, Any], where: str) -> tuple[dict[int, float], list[str]]:
        """Targets by item row (the last rating of an item counts), and items that are unknown."""
        items, ratings = _list(user.get("items")), _list(user.get("ratings"))
        if len(items) != len(ratings):
            raise DataError(f"{where}: {len(items)} items but {len(ratings)} ratings; one for each")
        rows: dict[int, float] = {}
        strangers: list[str] = []
        low, high = self.facts.min_rating, self.facts.max_rating
        for item, rating in zip(items, ratings, strict=True):
            value = _number(rating)
            if value is None or not low <= value <= high:
                raise DataError(
                    f"{where}: rating {rating!r} of item {item!r} is not on the scale "
                    f"from {low:g} to {high:g}"
                )
            row = self._row.get(str(item))
            if row is None:
                strangers.append(str(item))
                continue
            rows.pop(row, None)
            rating = value if self.facts.head == "rating" else float(value >= self.facts.like)
            rows[row] = self.facts.unit.target(rating)
        return rows, strangers

    def _features(self, user: Mapping[Any, Any], where: str) -> Tensor:
        attributes = user.get("user")
        if attributes is None or not isinstance(attributes, Mapping):
            attributes = {}
        try:
            return self.encoder.encode(attributes)
        except DataError as error:
            raise DataError(f"{where}: {error}") from None

    def _batch(self, known: list[dict[int, float]], features: list[Tensor]) -> Support:
        width = max((len(rows) for rows in known), default=0)
        shape = (len(known), width)
        items_BS = torch.zeros(shape, dtype=torch.int64)
        targets_BS = torch.zeros(shape)
        mask_BS = torch.zeros(shape, dtype=torch.bool)
        for b, rows in enumerate(known):
            n = len(rows)
            items_BS[b, :n] = torch.tensor(list(rows), dtype=torch.int64)
            targets_BS[b, :n] = torch.tensor(list(rows.values()))
            mask_BS[b, :n] = True
        crossfit_B = torch.zeros(len(known), dtype=torch.int64)
        return Support(items_BS, targets_BS, mask_BS, torch.stack(features), crossfit_B)


def _known(scores: list[float], rows: list[int], ranks: list[float]) -> Best:
    """Without what fills up a list that is longer than the catalogue of other items."""
    found = zip(rows, scores, ranks, strict=True)
    return [(row, score) for row, score, rank in found if rank > -math.inf]


def _list(values: Any) -> list[Any]:
    if values is None or isinstance(values, float):  # a missing field of a data frame is NaN
        return []
    if isinstance(values, str):
        raise DataError(f"{values!r}: must be a list")
    return list(values.tolist() if hasattr(values, "tolist") else values)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
