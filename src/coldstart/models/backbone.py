"""What a pretrained model offers to meta-learners: an item table and a prior over users.

Legend: C cross-fitted tables, N items with the unknown one, D features, F user features, B users.
"""

from __future__ import annotations

from dataclasses import dataclass

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

    @property
    def n_items(self) -> int:
        """Rows of the item table, the unknown item included."""
        return int(self.features_CND.shape[1])

    def to_bundle(self) -> Bundle:
        """The backbone as tensors."""
        names = ("features_CND", "offset_CN", "count_CN", "prior_FD", "group_U")
        return Bundle(self.kind, {}, {name: getattr(self, name) for name in names})

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Backbone:
        """The inverse of :meth:`to_bundle`."""
        return cls(kind=bundle.kind, **bundle.tensors)
