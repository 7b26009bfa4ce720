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

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from coldstart.data.episodes import EpisodeSampler, History
from coldstart.models.backbone import Backbone
from coldstart.models.blocks import blocks
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
from coldstart.models.sums import symmetric_sums
from coldstart.params import UserPriorParams

SWEEPS = 20
"""Of expectation-maximisation; the noise moves by less than a thousandth after ten."""
START = 0.1
"""Variance of users' weights before the first sweep."""
CHUNK = 1 << 15
"""Ratings whose features are held at once."""


def with_user_prior(backbone: Backbone, history: History) -> Backbone:
    """The same item table with Sigma and s2 estimated for it, where it came without.

    Args:
        backbone: its ``prior_DD`` and ``noise`` are where the estimate starts.
        history: what the backbone was fitted on.
    """
    sums = _sums(backbone, history)
    covariance_DD, noise = backbone.prior_DD.double(), backbone.noise.double()
    for _ in range(SWEEPS):
        covariance_DD, noise = sums.likeliest(covariance_DD, noise)
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
    squares_DD, own_DD = rest_TD.mT @ rest_TD, found.covariance.sum(0)
    covariance_DD = _spread(squares_DD / len(rest_TD), own_DD / len(rest_UD))
    return replace(
        backbone,
        prior_DD=covariance_DD.float(),
        noise=sums.noise_of(expected_error(sums.evidence, found).sum()).float(),
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


def _spread(squares_DD: Tensor, covariance_DD: Tensor) -> Tensor:
    """From means: of the squares of what a prior mean leaves, and of the posterior covariances."""
    return squares_DD + covariance_DD + LEAST_SPREAD * torch.eye(len(squares_DD)).double()


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

    def noise_of(self, error: Tensor) -> Tensor:
        """From the sum over ratings of ``E (y - offset - x.w)^2`` under the posteriors."""
        return (error / self.count_U.sum()).clamp(min=LEAST_NOISE)

    def likeliest(self, covariance_DD: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """One sweep of expectation-maximisation."""
        squares_DD, own_DD = torch.zeros_like(covariance_DD), torch.zeros_like(covariance_DD)
        error, n_users = torch.zeros_like(noise), len(self.count_U)
        for part in blocks(n_users):
            users = self.rows(part)
            found = users.posterior(covariance_DD, noise)
            rest_BD = found.mean - users.expected_UD
            squares_DD += rest_BD.mT @ rest_BD
            own_DD += found.covariance.sum(0)
            error += expected_error(users.evidence, found).sum()
        return _spread(squares_DD / n_users, own_DD / n_users), self.noise_of(error)

    def rows(self, part: slice) -> Sums:
        """Those of some users."""
        evidence = Evidence(*(field[part] for field in self.evidence))
        return Sums(evidence, self.count_U[part], self.expected_UD[part])


def _sums(backbone: Backbone, history: History) -> Sums:
    users, row_R = torch.unique(history.users_R, return_inverse=True)
    D = backbone.prior_FD.shape[1]
    right_UD, square_U = torch.zeros(len(users), D).double(), torch.zeros(len(users)).double()
    for part in torch.split(torch.arange(len(row_R)), CHUNK):
        items_P, y_P = history.items_R[part], history.targets_R[part].double()
        items = _read(backbone, items_P, backbone.group_U[history.users_R[part]])
        right_PD = y_P[:, None] * items.x - cross_moment(items)
        right_UD.index_add_(0, row_R[part], right_PD)
        square_P = (y_P - items.offset).square()
        if items.covariance is not None:
            square_P = square_P + items.covariance[:, 0, 0]
        square_U.index_add_(0, row_R[part], square_P)
    expected_UD = history.user_features_UF[users].double() @ backbone.prior_FD.double()
    gram_UDD = _grams(backbone, history, users, row_R)
    return Sums(Evidence(gram_UDD, right_UD, square_U), torch.bincount(row_R), expected_UD)


def _read(backbone: Backbone, items_P: Tensor, table_P: Tensor) -> Items:
    """Rows of the users' tables; of the covariances the offset's row, ``[P, 1, D]``, is enough."""
    own = backbone.covariance_NDD
    return Items(
        backbone.features_CND[table_P, items_P].double(),
        backbone.offset_CN[table_P, items_P].double(),
        None if own is None else own[items_P, :1].double(),
    )


def _grams(backbone: Backbone, history: History, users: Tensor, row_R: Tensor) -> Tensor:
    """Sums of ``E[x x']`` over the ratings of each user, ``[U, D, D]``.

    Moments are made once for each item of a table: ratings are many times more.
    """
    shape = (len(users), backbone.n_items)
    index = (row_R.numpy(), history.items_R.numpy())
    pattern_UN = sparse.csr_array((np.ones(len(row_R)), index), shape=shape)
    table_U, D = backbone.group_U[users], backbone.prior_FD.shape[1]
    own = None if backbone.covariance_NDD is None else backbone.covariance_NDD.double()
    gram_UDD = torch.zeros(len(users), D, D).double()
    for table in torch.unique(table_U).tolist():
        rows = (table_U == table).nonzero()[:, 0]
        x_ND, offset_N = backbone.features_CND[table].double(), backbone.offset_CN[table].double()
        moment_NDD = second_moment(Items(x_ND, offset_N, own)).numpy()
        gram_UDD[rows] = torch.from_numpy(symmetric_sums(pattern_UN[rows.numpy()], moment_NDD))
    return gram_UDD


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
        parts = [chosen(described_CNJ, drawn.support.rows(part)) for part in blocks(drawn.n_users)]
        z.append(torch.cat(parts) / (count_B1 + params.damping))
        y.append(rest_UD[torch.searchsorted(users, drawn.users_B)])
    z_TJ, y_TD = torch.cat(z).double(), torch.cat(y)
    penalty_JJ = params.penalty * params.draws * torch.eye(z_TJ.shape[1]).double()
    gram_JJ = z_TJ.mT @ z_TJ + penalty_JJ
    choice_JD = torch.linalg.solve(gram_JJ, z_TJ.mT @ y_TD)
    # by row, as it lies when read from a bundle: products differ by that in the last bit
    return choice_JD.contiguous(), y_TD - z_TJ @ choice_JD
