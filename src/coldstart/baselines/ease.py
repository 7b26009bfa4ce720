"""Baseline ``ease``: a linear autoencoder of items, in closed form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

from coldstart.baselines._item_gram import ItemGram
from coldstart.baselines._offsets import BiasParams, OffsetModel, fit_offsets
from coldstart.data.choices import Chooser, choose
from coldstart.data.episodes import Episodes, History, Support
from coldstart.models.backbone import Backbone
from coldstart.models.recommender import Prediction, State, kept
from coldstart.models.server import Floats, Ints, Ratings, Server
from coldstart.params import Section, search


class EaseParams(BiasParams):
    """Penalty and size, over the parameters of ``bias``."""

    penalty: float = Field(
        gt=0,
        json_schema_extra=search(50, 50000, log=True),
        description="Imagined raters of each item whose other residuals are 0.",
    )
    max_items: int = Field(
        ge=1, description="Most rated items that weights are fitted for; the others have none."
    )


@dataclass(frozen=True)
class Ease(OffsetModel):
    """``item_i + user_u + gain sum_j r_uj B_ji`` over the rated items ``j``.

    Offsets are those of the baseline ``bias``, ``r`` is what a rating lies above both and ``B`` the
    matrix of :func:`ease_weights`. Steck 2019 reconstructs ones where a user clicked; these are
    residuals of ratings. Missing ones are 0 as they are there, which makes the weights too small
    for a rating that is known to exist: ``gain`` makes up for it, by least squares on the
    validation users.
    """

    kind: ClassVar[str] = "ease"
    Params: ClassVar[type[Section]] = EaseParams
    row_N: Tensor  # int64: row and column of each item in the weights; 0 for those without any
    weights_MM: Tensor  # gain included; row and column 0 are 0

    @classmethod
    def fit(
        cls,
        history: History,
        backbone: Backbone,
        validation: Chooser,
        params: EaseParams,
        seed: int,
    ) -> Self:
        """Offsets first, then the weights between what they leave, then their gain."""
        offsets = fit_offsets(history, params)
        gram = ItemGram.of(history, offsets, params.max_items)
        weights_MM = ease_weights(gram.products_MM, params.penalty * gram.variance)
        model = cls(
            item_N=offsets.item_N,
            attribute_F=offsets.attribute_F,
            user_damping=params.user_damping,
            row_N=gram.rows(history.n_items),
            weights_MM=pad(weights_MM.float(), (1, 0, 1, 0)),
        )
        gain = choose(validation, "gain", model._gain)
        return replace(model, weights_MM=model.weights_MM * gain)

    def adapt(self, support: Support) -> State:
        """The user's offset, and what their residuals add to each item."""
        offset_B, rest_BS = self.residuals(support)
        rows_BS, rest_BS = pad(self.row_N[support.items_BS], (0, 1)), pad(rest_BS, (0, 1))
        push_BM = embedding_bag(rows_BS, self.weights_MM, mode="sum", per_sample_weights=rest_BS)
        return kept(support) | {"offset_B": offset_B, "push_BM": push_BM}

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """Both offsets and the push."""
        push_BQ = state["push_BM"].gather(1, self.row_N[items_BQ])
        return Prediction(self.item_N[items_BQ] + state["offset_B"][:, None] + push_BQ)

    def score_catalogue(self, state: State) -> Prediction:
        """Both offsets and the push."""
        push_BN = state["push_BM"][:, self.row_N]
        return Prediction(push_BN.add_(self.item_N).add_(state["offset_B"][:, None]))

    def serve(self) -> Server:
        """See :class:`EaseServer`."""
        return EaseServer(self)

    def _gain(self, validation: Episodes) -> float:
        """Least squares of what the offsets leave on the push, over all support sizes above 0."""
        product, square = 0.0, 0.0
        for k in range(1, validation.support.items_BS.shape[1] + 1):
            state = self.adapt(validation.support.first(k))
            push_BQ = state["push_BM"].gather(1, self.row_N[validation.items_BQ]).double()
            base_BQ = self.item_N[validation.items_BQ] + state["offset_B"][:, None]
            rest_BQ = (validation.targets_BQ - base_BQ) * validation.mask_BQ
            product += float((push_BQ * rest_BQ).sum())
            square += float((push_BQ.square() * validation.mask_BQ).sum())
        return max(product / square, 0.0) if square else 1.0


class EaseServer(Server):
    """:class:`Ease` for one user alone; a state is the user's offset and the push."""

    def __init__(self, model: Ease) -> None:
        self._item_N, self._row_N = model.item_N.numpy(), model.row_N.numpy()
        self._weights_MM = model.weights_MM.numpy()
        self._attribute_F = model.attribute_F.double().numpy()
        self._damping = model.user_damping

    def adapt(self, items_S: Ints, targets_S: Floats, features_F: Floats) -> tuple[float, Floats]:
        """What the user's residuals add to each item with weights."""
        above_S = targets_S.astype(np.float64) - self._item_N.take(items_S)
        prior = float(features_F.dot(self._attribute_F))
        offset = (above_S.sum() + self._damping * prior) / (len(items_S) + self._damping)
        rest_S = (above_S - offset).astype(np.float32)
        return offset, rest_S.dot(self._weights_MM.take(self._row_N.take(items_S), 0))

    def rank(self, state: tuple[float, Floats]) -> Floats:
        """Both offsets and the push."""
        offset, push_M = state
        scores_N: Floats = push_M.take(self._row_N)
        scores_N += self._item_N
        scores_N += offset
        return scores_N

    def score(self, state: tuple[float, Floats], items_Q: Ints) -> Ratings:
        """Both offsets and the push."""
        offset, push_M = state
        push_Q = push_M.take(self._row_N.take(items_Q))
        return Ratings(self._item_N.take(items_Q) + offset + push_Q, None)


def ease_weights(gram_MM: Tensor, penalty: float) -> Tensor:
    """Minimise ``|X - X B|^2 + penalty |B|^2`` subject to ``diag(B) = 0``, from ``X'X``.

    ``B = I - P / diag(P)`` with ``P = (X'X + penalty I)^-1``, columns divided by their diagonal
    element (Steck 2019, equation 8).
    """
    ridge_MM = gram_MM + penalty * torch.eye(len(gram_MM), dtype=gram_MM.dtype)
    inverse_MM = torch.cholesky_inverse(torch.linalg.cholesky(ridge_MM))
    return (inverse_MM / -inverse_MM.diagonal()).fill_diagonal_(0.0)
