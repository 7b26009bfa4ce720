"""What methods share that read a user off encoded pairs of item and rating, without inner steps.

Both `proto` and `cnp` correct what the backbone's prior predicts, and read of a rating its residual
against it: what a gradient step on the loss would read. Of the residuals the user's shrunken mean
is taken first, as the baseline `bias` does, so that the rest speaks of taste.

Legend: B users, S support, I items of each (support, query or catalogue), N items, C tables,
D backbone features, E = D - 1 factors, X inputs, F user features.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from coldstart.algorithms._base import MetaLearner, Theta, in_chunks
from coldstart.algorithms._network import rated_share, standardise
from coldstart.data.episodes import Support
from coldstart.models.backbone import Backbone
from coldstart.models.recommender import Prediction, State
from coldstart.params import Section, search


class PairParams(Section):
    """Size of the networks and start of the shrinkage."""

    hidden: int = Field(
        ge=1,
        le=1024,
        json_schema_extra=search(16, 128, log=True),
        description="Width of the hidden layers.",
    )
    mean_shrinkage: float = Field(
        gt=0,
        json_schema_extra=search(1, 20, log=True),
        description="Start: a user's mean residual is the sum of K over (K + this).",
    )
    shrinkage: float = Field(
        gt=0,
        json_schema_extra=search(5, 200, log=True),
        description="Start: other sums over K support pairs are divided by (K + this).",
    )
    outer_rate: float = Field(
        gt=0,
        le=1,
        json_schema_extra=search(3e-4, 3e-2, log=True),
        description="Step size of Adam.",
    )


P = TypeVar("P", bound=PairParams)


class Items(NamedTuple):
    """Items as these methods see them; the first dimension may be 1 and broadcasts."""

    prior_BI: Tensor  # score that the backbone's prior gives them for the user
    factors_BIE: Tensor  # backbone features but the first, of typical size 1
    inputs_BIX: Tensor  # all that is known of an item, standardised


class Pairs(NamedTuple):
    """The support after the user's mean is taken; 0 where padded."""

    mean_B: Tensor  # the user's shrunken mean residual, in units of the score
    residual_BS: Tensor  # what the prior leaves, in units of the target
    taste_BS: Tensor  # what prior and mean leave


class Tables(NamedTuple):
    """What :meth:`PairLearner.items` reads."""

    standard_CNX: Tensor  # features and number of ratings of each table, standardised
    fixed_NX: Tensor  # what is the same in all tables, standardised
    size: Tensor  # typical size of a feature but the first


def tables(backbone: Backbone) -> Tables:
    """All that is known of items: features, number of ratings, side information, uncertainty."""
    share_N = rated_share(backbone)
    counts_CN1 = backbone.count_CN.log1p().unsqueeze(-1)
    moving_CNX = torch.cat([backbone.features_CND, counts_CN1], -1)
    fixed = [backbone.side_NG]
    if backbone.covariance_NDD is not None:
        fixed.append(backbone.covariance_NDD.diagonal(dim1=-2, dim2=-1).clamp(min=1e-12).log())
    factors_NE = backbone.features_CND[0, :, 1:]
    size = (share_N @ factors_NE.square().mean(-1)).sqrt().clamp(min=1e-6)
    return Tables(
        standardise(moving_CNX, share_N),
        standardise(torch.cat(fixed, -1), share_N),
        size,
    )


class PairLearner(MetaLearner[P]):
    """Reads a user off sums over encoded support pairs."""

    def outer_rate(self, step: int, max_steps: int) -> float:
        """Falls along a half cosine to zero."""
        return self.params.outer_rate * 0.5 * (1 + math.cos(math.pi * (step - 1) / max_steps))

    def score_catalogue(self, state: State) -> Prediction:
        """See :meth:`Recommender.score_catalogue`; users in chunks, to bound memory.

        Means only: to rank a catalogue takes no variance.
        """
        device = self.backbone.offset_CN.device
        items_1N = torch.arange(self.n_items, device=device).unsqueeze(0)

        def score(part: State) -> Tensor:
            return self.score_with(self.theta, part, items_1N, items_1N.new_zeros(1)).mean

        with torch.no_grad():
            mean_BN = in_chunks(score, state, self.n_items * self.params.hidden)
            return self.predict(Prediction(mean_BN))

    def items(self, items_BI: Tensor, crossfit_B: Tensor, users_BF: Tensor) -> Items:
        """Read items from each user's table; both indices may have 1 in place of B."""
        at = crossfit_B.unsqueeze(1), items_BI
        made, backbone = self._tables, self.backbone
        features_BID = backbone.features_CND[at]
        expected_B1D = (users_BF @ backbone.prior_FD).unsqueeze(1)
        prior_BI = backbone.offset_CN[at] + (features_BID @ expected_B1D.mT).squeeze(-1)
        return Items(
            self.head.score(prior_BI),
            features_BID[..., 1:] / made.size,
            torch.cat([made.standard_CNX[at], made.fixed_NX[items_BI]], -1),
        )

    def pairs(self, theta: Theta, support: Support, items: Items) -> Pairs:
        """Residuals of the support, before and after the user's mean.

        ``target - prediction`` is the negative gradient of either head's loss in the score (of half
        the squared error).
        """

        def left(score_BS: Tensor) -> Tensor:
            residual_BS = support.targets_BS - self.head.predict(score_BS)
            return residual_BS.masked_fill(~support.mask_BS, 0.0)

        residual_BS = left(items.prior_BI)
        count_B = support.mask_BS.sum(-1)
        mean_B = residual_BS.sum(-1) / (count_B + theta["log_shrinkage_2"][0].exp())
        return Pairs(mean_B, residual_BS, left(items.prior_BI + mean_B.unsqueeze(-1)))

    def pooled(self, theta: Theta, support: Support, total_BX: Tensor) -> Tensor:
        """A sum over the support divided by (K + shrinkage): ``[B, X]``.

        A mean that knows how many it is a mean of, and 0 where there is nobody to ask.
        """
        count_B1 = support.mask_BS.sum(-1, keepdim=True)
        return total_BX / (count_B1 + theta["log_shrinkage_2"][1].exp())

    @cached_property
    def _tables(self) -> Tables:
        return tables(self.backbone)


def shrinkage(params: PairParams) -> Tensor:
    """Logarithms of the two shrinkages."""
    return torch.tensor([params.mean_shrinkage, params.shrinkage]).log()


def widths(backbone: Backbone) -> tuple[int, int]:
    """Numbers of factors and of inputs of an item: ``E, X``."""
    made = tables(backbone)
    return backbone.prior_FD.shape[1] - 1, made.standard_CNX.shape[-1] + made.fixed_NX.shape[-1]


def dense(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """He-initialised weights of a layer."""
    scale = math.sqrt(2.0 / max(rows, 1))
    return torch.randn(rows, columns, generator=generator) * scale
