"""What a pretrained model offers to meta-learners: an item table and a prior over users.

Legend: C cross-fitted tables, N items with the unknown one, D features, F user features, B users,
E factors of exposure.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple, Self

import torch
from torch import Tensor

from coldstart.models.bundle import Bundle

_TABLES = ("features_CND", "offset_CN", "count_CN", "exposed_CN", "exposure_CNE", "exposure_CFE")
"""Fields that are cross-fitted."""


class Exposure(NamedTuple):
    """Which items people choose to rate, see :mod:`coldstart.models.exposure`."""

    share_CN: Tensor  # of users who rate the item
    factors_CNE: Tensor
    prior_CFE: Tensor  # expected coordinates of a user are users_BF @ prior_CFE[table]
    noise: Tensor  # scalar: variance of a choice around its expectation


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
    like: Tensor  # scalar: above this target an item is liked, half-way between two ratings
    covariance_NDD: Tensor | None = None
    """Posterior covariance of (offset, features but the first) in table 0; None where the backbone
    gives point estimates."""
    exposed_CN: Tensor | None = None  # these four are the parts of ``exposure``
    exposure_CNE: Tensor | None = None
    exposure_CFE: Tensor | None = None
    exposure_noise: Tensor | None = None

    @property
    def exposure(self) -> Exposure:
        """The model of what people choose; only a backbone from ``fit_backbone`` has one."""
        parts = (self.exposed_CN, self.exposure_CNE, self.exposure_CFE, self.exposure_noise)
        found = [part for part in parts if part is not None]
        assert len(found) == len(parts), f"{self.kind}: a backbone without a model of exposure"
        return Exposure(*found)

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
        tables = {name: value[:1] for name, value in own.items() if name in _TABLES}
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
