"""Baseline ``itemknn``: the support's ratings, spread to the most similar items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from coldstart.baselines._offsets import (
    BiasParams,
    OffsetModel,
    Offsets,
    fit_offsets,
    residual_matrices,
)
from coldstart.data.choices import Chooser
from coldstart.data.episodes import History, Support
from coldstart.models.backbone import Backbone
from coldstart.models.recommender import Prediction, State, kept
from coldstart.params import Section, search

CHUNK = 256
"""Rows of the similarity matrix that are dense at a time; bounds memory on large catalogues."""


class ItemKNNParams(BiasParams):
    """Neighbourhood and shrinkage, over the parameters of ``bias``."""

    neighbours: int = Field(
        ge=1,
        json_schema_extra=search(20, 2000, log=True),
        description="Most similar items kept for each item.",
    )
    shrinkage: float = Field(
        gt=0,
        json_schema_extra=search(10, 2000, log=True),
        description="Imagined common raters without any correlation.",
    )
    damping: float = Field(
        gt=0,
        json_schema_extra=search(0.05, 5, log=True),
        description="Imagined similarity to neighbours of residual 0.",
    )


@dataclass(frozen=True)
class ItemKNN(OffsetModel):
    """``item_i + user_u + sum_j s_ij r_uj / (damping + sum_j |s_ij|)`` over rated neighbours ``j``.

    Offsets are those of the baseline ``bias``, and without any rating it is that baseline. ``r`` is
    what a rating lies above both offsets; ``s`` is the sum of products of residuals over the ``n``
    common raters, divided by ``n + shrinkage`` and both items' standard deviations (a shrunk
    correlation as in Koren 2010, section 2.2, with deviations over all raters). A model that
    stores the most similar items of each *rated* item (Sarwar et al. 2001) ranks a catalogue by
    touching S K entries instead of N K.
    """

    kind: ClassVar[str] = "itemknn"
    Params: ClassVar[type[Section]] = ItemKNNParams
    neighbours_NK: Tensor  # int32, ascending
    similarity_NK: Tensor  # 0 where an item has fewer neighbours
    damping: float

    @classmethod
    def fit(
        cls,
        history: History,
        backbone: Backbone,
        validation: Chooser,
        params: ItemKNNParams,
        seed: int,
    ) -> Self:
        """Offsets first, then the correlation of what they leave."""
        offsets = fit_offsets(history, params)
        neighbours_NK, similarity_NK = most_similar(
            history, offsets, params.shrinkage, params.neighbours
        )
        return cls(
            item_N=offsets.item_N,
            attribute_F=offsets.attribute_F,
            neighbours_NK=neighbours_NK,
            similarity_NK=similarity_NK,
            damping=params.damping,
            user_damping=params.user_damping,
        )

    def adapt(self, support: Support) -> State:
        """The user's offset, and the support as residuals."""
        offset_B, rest_BS = self.residuals(support)
        return kept(support) | {"offset_B": offset_B, "rest_BS": rest_BS}

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """Find the items among the neighbours of each rated one, which are in ascending order."""
        near_BSK = self.neighbours_NK[state["items_BS"]]
        items_BSQ = items_BQ.int()[:, None].expand(-1, near_BSK.shape[1], -1).contiguous()
        place_BSQ = torch.searchsorted(near_BSK, items_BSQ).clamp(max=near_BSK.shape[2] - 1)
        found_BSQ = (near_BSK.gather(2, place_BSQ) == items_BSQ) & state["mask_BS"][..., None]
        weight_BSQ = self.similarity_NK[state["items_BS"]].gather(2, place_BSQ) * found_BSQ
        sum_BQ = (weight_BSQ * state["rest_BS"][..., None]).sum(1)
        return self._predict(self.item_N[items_BQ], state, sum_BQ, weight_BSQ.abs().sum(1))

    def score_catalogue(self, state: State) -> Prediction:
        """Scatter every rating to its item's neighbours."""
        where_BT = self.neighbours_NK[state["items_BS"]].long().flatten(1)
        weight_BSK = self.similarity_NK[state["items_BS"]] * state["mask_BS"][..., None]
        push_BT = (weight_BSK * state["rest_BS"][..., None]).flatten(1)
        empty_BN = push_BT.new_zeros(len(where_BT), self.n_items)
        sum_BN = empty_BN.scatter_add(1, where_BT, push_BT)
        weight_BN = empty_BN.scatter_add(1, where_BT, weight_BSK.abs().flatten(1))
        return self._predict(self.item_N, state, sum_BN, weight_BN)

    def _predict(self, item: Tensor, state: State, total: Tensor, weight: Tensor) -> Prediction:
        return Prediction(item + state["offset_B"][:, None] + total / (weight + self.damping))


def most_similar(
    history: History, offsets: Offsets, shrinkage: float, neighbours: int
) -> tuple[Tensor, Tensor]:
    """The ``K`` items with the largest absolute similarity to each item, and the similarities."""
    rest, seen = residual_matrices(history, offsets)
    rest_rows, seen_rows = rest.tocsr(), seen.tocsr()
    square_N = torch.from_numpy(rest.power(2).sum(axis=0, dtype=np.float64))
    count_N = torch.bincount(history.items_R, minlength=history.n_items)
    deviation_N = (square_N / count_N.clamp(min=1)).sqrt().clamp(min=1e-6).float()
    index, value = [], []
    for start in range(0, history.n_items, CHUNK):
        part = slice(start, start + CHUNK)
        common = torch.from_numpy((seen[:, part].T @ seen_rows).toarray())
        cross = torch.from_numpy((rest[:, part].T @ rest_rows).toarray())
        similarity = cross / common.add_(shrinkage).mul_(deviation_N[part, None]).mul_(deviation_N)
        rows = torch.arange(len(similarity))
        similarity[rows, rows + start] = 0
        top = similarity.abs().topk(min(neighbours, history.n_items - 1), dim=1).indices
        top = top.sort(dim=1).values
        index.append(top.int())
        value.append(similarity.gather(1, top))
    return torch.cat(index), torch.cat(value)
