"""What is known of items apart from any user's ratings of them, in comparable units.

Legend: C tables, N items, J entries of a description, B users, S support ratings.
"""

from __future__ import annotations

import torch
from torch import Tensor

from coldstart.data.episodes import Support
from coldstart.models.backbone import Backbone


def descriptions(backbone: Backbone) -> Tensor:
    """Factors, offset, log of the number of ratings and side information: ``[C, N, J]``.

    Standardised by the table of new users, an item counting as often as it is rated, since that is
    how often users meet it.
    """
    features_CND = backbone.features_CND
    parts = [
        features_CND[..., 1:],
        backbone.offset_CN.unsqueeze(-1),
        backbone.count_CN.log1p().unsqueeze(-1),
        backbone.side_NG.expand(len(features_CND), -1, -1),
    ]
    raw_CNJ = torch.cat(parts, -1)
    share_N = backbone.count_CN[0] / backbone.count_CN[0].sum().clamp(min=1)
    mean_J = share_N @ raw_CNJ[0]
    deviation_J = (share_N @ (raw_CNJ[0] - mean_J).square()).sqrt()
    return (raw_CNJ - mean_J) / torch.where(deviation_J > 1e-6, deviation_J, 1.0)


def chosen(described_CNJ: Tensor, support: Support) -> Tensor:
    """Sum of the descriptions of each support's items, whatever their ratings: ``[B, J]``."""
    described_BSJ = described_CNJ[support.crossfit_B.unsqueeze(1), support.items_BS]
    return (described_BSJ * support.mask_BS.unsqueeze(-1)).sum(1)
