"""What is known of a user before any rating is read, given a table of item features.

y = offset_i + x_i . w_u + e,  w_u ~ N(A x_u + t_u, Sigma),  e ~ N(0, s2). Sigma and s2 are
estimated by expectation-maximisation over the historical users, on features that have not seen
their ratings. ``t_u`` depends on *which* items were rated: it is ``sum_i B d_i / (K + damping)``
over K rated items with descriptions d_i, B being a ridge regression of the users' posterior means
on such sums, for random supports of random size.

Legend: R ratings, U users, D features with the constant first, J description, T draws times users.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from coldstart.data.episodes import EpisodeSampler, History
from coldstart.models.backbone import Backbone
from coldstart.models.description import chosen, descriptions
from coldstart.models.floors import LEAST_NOISE, LEAST_SPREAD
from coldstart.models.foldin import (
    Evidence,
    FoldIn,
    Items,
    Posterior,
    cross_moment,
    expected_error,
    posterior,
    second_moment,
)
from coldstart.params import UserPriorParams

SWEEPS = 20
"""Of expectation-maximisation; the noise moves by less than a thousandth after ten."""
START = 0.1
"""Variance of users' weights before the first sweep."""
CHUNK = 1 << 15
"""Ratings whose outer products are held at once."""


def with_user_prior(backbone: Backbone, history: History) -> Backbone:
    """The same item table with Sigma and s2 estimated for it, where it came without.

    Args:
        backbone: its ``prior_DD`` and ``noise`` are where the estimate starts.
        history: what the backbone was fitted on.
    """
    sums = _sums(backbone, history)
    covariance_DD, noise = backbone.prior_DD.double(), backbone.noise.double()
    for _ in range(SWEEPS):
        found = sums.posterior(covariance_DD, noise)
        rest_UD = found.mean - sums.expected_UD
        covariance_DD = _spread(rest_UD, found.covariance)
        noise = sums.error(found)
    return replace(backbone, prior_DD=covariance_DD.float(), noise=noise.float())


def with_choice(
    backbone: Backbone, history: History, params: UserPriorParams, seed: int
) -> Backbone:
    """The same backbone with B; Sigma becomes what B leaves of it, s2 what the fold-in leaves.

    Args:
        backbone: with Sigma and s2.
        history: what the backbone was fitted on.
        params: damping and penalty of the regression on chosen items.
        seed: of the random supports.
    """
    sums = _sums(backbone, history)
    found = sums.posterior(backbone.prior_DD.double(), backbone.noise.double())
    rest_UD = found.mean - sums.expected_UD
    choice_JD, rest_TD = _choice(backbone, history, rest_UD, params, seed)
    covariance_DD = _spread(rest_TD, found.covariance)
    return replace(
        backbone,
        prior_DD=covariance_DD.float(),
        noise=sums.error(found).float(),
        choice_JD=choice_JD.float(),
        choice_damping=torch.tensor(params.damping),
    )


def linear_model(backbone: Backbone) -> FoldIn:
    """All tables of a backbone with its prior over users: how it folds in a user."""
    return FoldIn(
        x_CND=backbone.features_CND,
        offset_CN=backbone.offset_CN,
        weight_CN=(1 / backbone.noise).expand(backbone.offset_CN.shape),
        precision_DD=torch.linalg.inv(backbone.prior_DD),
        prior_CFD=backbone.prior_FD.unsqueeze(0),
        covariance_NDD=backbone.covariance_NDD,
        choice_CND=descriptions(backbone) @ backbone.choice_JD,
        damping=backbone.choice_damping,
    )


def unfitted(history: History, n_features: int) -> dict[str, Tensor]:
    """Fields of a backbone that is without a prior over users yet: where the estimate starts.

    Args:
        history: what the backbone is fitted on.
        n_features: of an item, the constant included: ``D``.
    """
    n_described = n_features + 1 + history.item_features_NG.shape[1]
    return {
        "prior_DD": START * torch.eye(n_features),
        "noise": history.targets_R.var(correction=0).clamp(min=LEAST_NOISE),
        "choice_JD": torch.zeros(n_described, n_features),
        "choice_damping": torch.ones(()),
        "like": torch.tensor(history.like),
    }


def _spread(rest_TD: Tensor, covariance_UDD: Tensor) -> Tensor:
    """Mean of the squares of what a prior mean leaves, and of the posteriors' covariances."""
    spread_DD = rest_TD.mT @ rest_TD / len(rest_TD) + covariance_UDD.mean(0)
    return spread_DD + LEAST_SPREAD * torch.eye(len(spread_DD)).double()


@dataclass(frozen=True)
class Sums:
    """Sums over all ratings of each historical user, float64, not yet over the noise."""

    evidence: Evidence  # of U users
    count_U: Tensor
    expected_UD: Tensor  # weights that a user's attributes predict

    def posterior(self, covariance_DD: Tensor, noise: Tensor) -> Posterior:
        """Of every user's weights."""
        gram_UDD, right_UD, _ = self.evidence
        precision_DD = torch.linalg.inv(covariance_DD)
        return posterior(gram_UDD / noise, right_UD / noise, self.expected_UD, precision_DD)

    def error(self, found: Posterior) -> Tensor:
        """Mean over ratings of ``E (y - offset - x.w)^2`` under the posteriors."""
        error = expected_error(self.evidence, found).sum() / self.count_U.sum()
        return error.clamp(min=LEAST_NOISE)


def _sums(backbone: Backbone, history: History) -> Sums:
    users, row_R = torch.unique(history.users_R, return_inverse=True)
    D = backbone.prior_FD.shape[1]
    gram_UDD = torch.zeros(len(users), D, D).double()
    right_UD, square_U = torch.zeros(len(users), D).double(), torch.zeros(len(users)).double()
    for part in torch.split(torch.arange(len(row_R)), CHUNK):
        items_P, y_P = history.items_R[part], history.targets_R[part].double()
        items = _read(backbone, items_P, backbone.group_U[history.users_R[part]])
        gram_UDD.index_add_(0, row_R[part], second_moment(items))
        right_PD = y_P[:, None] * items.x - cross_moment(items)
        right_UD.index_add_(0, row_R[part], right_PD)
        square_P = (y_P - items.offset).square()
        if items.covariance is not None:
            square_P = square_P + items.covariance[:, 0, 0]
        square_U.index_add_(0, row_R[part], square_P)
    expected_UD = history.user_features_UF[users].double() @ backbone.prior_FD.double()
    return Sums(Evidence(gram_UDD, right_UD, square_U), torch.bincount(row_R), expected_UD)


def _read(backbone: Backbone, items_P: Tensor, table_P: Tensor) -> Items:
    own = backbone.covariance_NDD
    return Items(
        backbone.features_CND[table_P, items_P].double(),
        backbone.offset_CN[table_P, items_P].double(),
        None if own is None else own[items_P].double(),
    )


def _choice(
    backbone: Backbone, history: History, rest_UD: Tensor, params: UserPriorParams, seed: int
) -> tuple[Tensor, Tensor]:
    """B ``[J, D]`` and what it leaves of the users' weights ``[T, D]``."""
    users = torch.unique(history.users_R)
    sampler = EpisodeSampler(
        history,
        batch_size=len(users),
        query_size=1,
        max_support=params.max_support,
        group_U=backbone.group_U,
        generator=torch.Generator().manual_seed(seed),
    )
    described_CNJ = descriptions(backbone)
    z, y = [], []
    for _ in range(params.draws):
        drawn = sampler.sample()
        count_B1 = drawn.support.mask_BS.sum(1, keepdim=True)
        z.append(chosen(described_CNJ, drawn.support) / (count_B1 + params.damping))
        y.append(rest_UD[torch.searchsorted(users, drawn.users_B)])
    z_TJ, y_TD = torch.cat(z).double(), torch.cat(y)
    penalty_JJ = params.penalty * params.draws * torch.eye(z_TJ.shape[1]).double()
    gram_JJ = z_TJ.mT @ z_TJ + penalty_JJ
    choice_JD = torch.linalg.solve(gram_JJ, z_TJ.mT @ y_TD)
    # by row, as it lies when read from a bundle: products differ by that in the last bit
    return choice_JD.contiguous(), y_TD - z_TJ @ choice_JD
