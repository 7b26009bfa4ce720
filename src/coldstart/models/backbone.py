"""What a pretrained model offers to meta-learners: an item table and a prior over users.

Legend: C cross-fitted tables, N items with the unknown one, D features, F user features, B users.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from coldstart.models.bundle import Bundle


@dataclass(frozen=True)
class Backbone:
    """Predicts ``offset + features . w`` where ``w`` is the user's weight vector.

    Table 0 is fitted on all historical users and serves everybody who is not one of them. A
    historical user's training episode must not read features that have seen that user's ratings:
    it reads the table ``crossfit_B`` that was fitted without the user's group. ``C`` is 1 where a
    backbone has no cross-fitted tables.
    """

    kind: str
    features_CND: Tensor
    offset_CN: Tensor  # rating predicted for a user of whom nothing is known, target units
    count_CN: Tensor  # historical ratings behind each row
    prior_FD: Tensor  # expected weight vector of a user is users_BF @ prior_FD
    group_U: Tensor  # int64 [U]: table for each row of users.parquet; 0 if not historical
    side_NG: Tensor  # side information of items: genres, year, graph, title; G may be 0
    prior_DD: Tensor  # covariance of users' weights around their expectation
    noise: Tensor  # scalar: variance of a rating around its prediction, squared target units
    choice_JD: Tensor  # what the choice of items says of a user's weights; see user_prior
    choice_damping: Tensor  # scalar, ratings
    covariance_NDD: Tensor | None = None
    """Posterior covariance of (offset, features but the first) in table 0; None where the backbone
    gives point estimates."""

    @property
    def n_items(self) -> int:
        """Rows of the item table, the unknown item included."""
        return int(self.features_CND.shape[1])

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor, by the name of its field."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def serving(self) -> dict[str, Tensor]:
        """The tensors that new users need: of cross-fitted tables the first, no historical user."""
        own = self.tensors()
        tables = {name: own[name][:1] for name in ("features_CND", "offset_CN", "count_CN")}
        return own | tables | {"group_U": torch.zeros(0, dtype=torch.int64)}

    def to(self, device: torch.device | str) -> Self:
        """The same backbone on another device."""
        return type(self)(
            kind=self.kind, **{name: value.to(device) for name, value in self.tensors().items()}
        )

    def to_bundle(self) -> Bundle:
        """The backbone as tensors."""
        return Bundle(self.kind, {}, self.tensors())

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Backbone:
        """The inverse of :meth:`to_bundle`."""
        return cls(kind=bundle.kind, **bundle.tensors)
