"""Baseline ``gp``: a user's ratings as one draw of a Gaussian process over the items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from pydantic import Field
from scipy.linalg import eigh
from torch import Tensor

from coldstart.baselines._item_gram import ItemGram
from coldstart.baselines._offsets import BiasParams, fit_offsets
from coldstart.baselines._posterior import LinearPosterior
from coldstart.data.choices import Chooser
from coldstart.data.episodes import History
from coldstart.models.backbone import Backbone
from coldstart.params import Section, search


class GPParams(BiasParams):
    """Covariance between items, over the parameters of ``bias``."""

    rank: int = Field(
        ge=1,
        le=256,
        json_schema_extra=search(4, 40, log=True),
        description="Principal factors of the covariance between items.",
    )
    shrinkage: float = Field(
        gt=0,
        json_schema_extra=search(5, 500, log=True),
        description="Imagined common raters of two items without any covariance.",
    )
    max_items: int = Field(
        ge=1, description="Most rated items that covary; the others share the user's offset only."
    )


@dataclass(frozen=True)
class GP(LinearPosterior):
    """``y_ui = item_i + g_u(i) + e``, ``g_u`` normal with covariance ``t2 + L L'`` between items.

    ``t2`` is the variance of users' offsets, whose mean their attributes predict; ``L`` are the
    principal factors of the shrunk covariance of historical residuals; both ``t2`` and the
    variance of ``e`` follow from the residuals, :func:`item_covariance`. The posterior of ``g_u``
    given a few ratings is computed in the space of the factors ``f_i = (t, L_i)``, where it is a
    linear regression with prior covariance 1 (Rasmussen & Williams 2006, section 2.1.2).
    """

    kind: ClassVar[str] = "gp"
    Params: ClassVar[type[Section]] = GPParams

    @classmethod
    def fit(
        cls, history: History, backbone: Backbone, validation: Chooser, params: GPParams, seed: int
    ) -> Self:
        """Offsets first, then the covariance of what they leave."""
        offsets = fit_offsets(history, params)
        gram = ItemGram.of(history, offsets, params.max_items)
        loading_MR, noise = item_covariance(gram, params.rank, params.shrinkage)
        level = (noise / params.user_damping) ** 0.5  # then the offset is shrunk as in bias
        features_ND = torch.zeros(history.n_items, 1 + loading_MR.shape[1])
        features_ND[:, 0] = level
        features_ND[gram.items_M, 1:] = loading_MR.float()
        prior_FD = torch.zeros(len(offsets.attribute_F), features_ND.shape[1])
        prior_FD[:, 0] = offsets.attribute_F / level
        return cls(
            item_N=offsets.item_N,
            features_ND=features_ND,
            prior_FD=prior_FD,
            penalty_D=torch.full((features_ND.shape[1],), noise),
            noise=noise,
        ).calibrated(validation)


def item_covariance(gram: ItemGram, rank: int, shrinkage: float) -> tuple[Tensor, float]:
    """Loadings ``L`` ``[M, R]`` of the covariance ``L L'`` of residuals, and the noise variance.

    The covariance of two items is the sum of products over their common raters, divided by how
    many there are and ``shrinkage``. How much of an item's own variance is shared is not observed:
    its largest covariance with another item stands for it (the classical start of a principal
    factor analysis, Harman 1976, section 5.7; iterating changed no prediction visibly). The noise
    is what the loadings leave of the variance, at least a tenth.
    """
    shared_MM = gram.products_MM / (gram.common_MM + shrinkage)
    shared_MM = shared_MM.fill_diagonal_(0.0)
    covariance = (shared_MM + shared_MM.abs().amax(0).diag()).numpy()
    size = len(covariance)
    value_R, vector_MR = eigh(covariance, subset_by_index=[max(0, size - rank), size - 1])
    sign_R = np.sign(vector_MR[np.abs(vector_MR).argmax(0), np.arange(len(value_R))])
    loading_MR = torch.from_numpy(vector_MR * sign_R * np.sqrt(value_R.clip(min=0)))
    weight_M = gram.common_MM.diagonal() / gram.common_MM.trace()
    left = gram.variance - float(weight_M @ loading_MR.square().sum(1))
    return loading_MR, max(left, gram.variance / 10)
