"""Backbones ``vbpmf`` and ``vbpmf_audience``: variational Bayesian matrix factorisation.

A rating is ``b_i + w_u0 + v_i . w_u[1:] + e`` with ``e ~ N(0, s2 / t_u)``. A priori items
``z_i = (b_i, v_i)`` are ``N(f_i W, Lambda)`` and users ``w_u`` are ``N(x_u A, Sigma)``. Mean field
over users and items (Lim & Teh 2007) gives closed-form posteriors, each read with the other's
posterior covariance; W, A, Lambda, Sigma and s2 then follow from expected statistics (cf. the
feature-based priors of Agarwal & Chen 2009). Nothing is penalised by hand but the two maps, in
``vbpmf_audience`` that of the items alone.

In ``vbpmf`` ``f_i`` is the items' side information and ``t_u = 1``. In ``vbpmf_audience`` ``f_i``
also says who rates an item (:mod:`coldstart.models.audience`), and how exact a user's ratings are,
``t_u``, is Gamma distributed: a user who is hard to predict says less about items. What an
attribute of users is worth is estimated there too: the rows of A are ``N(0, Sigma / a_f)``, and
each a_f follows from the evidence (automatic relevance determination, MacKay 1992, Neal 1996).

Legend: U users, N items, E entities of either side, D features with the constant first, G item and
F user side features, C tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from coldstart.data.choices import Chooser
from coldstart.data.episodes import History
from coldstart.models.audience import audience_features
from coldstart.models.backbone import Backbone
from coldstart.models.backbones.mf import (
    START,
    Array,
    Ratings,
    behind_constant,
    constant_first,
    user_groups,
)
from coldstart.models.backbones.vbpmf_side import Design, Gaussians, Moments, Side
from coldstart.models.blocks import blocks
from coldstart.models.floors import LEAST_NOISE
from coldstart.models.user_prior import unfitted
from coldstart.params import PretrainParams, VBPMFParams
from coldstart.progress import progress

SHAPE = 5.0
"""Of the Gamma prior, with mean 1, of how exact a user's ratings are: worth ten ratings."""
FAINT = 1e-4
"""Least variance that factors of users may have before coordinates are chosen anew."""
FAR = 2.0
"""Furthest from 0, in standard deviations, that their mean may be."""


@dataclass
class Factorisation:
    """The state between sweeps."""

    by_user: Ratings
    by_item: Ratings
    users: Side
    items: Side
    user_noise: bool  # whether users differ in how exact their ratings are
    exactness_U: Array  # t_u
    noise: float  # variance, squared target units
    known: tuple[Gaussians, Moments] | None = None
    """Posteriors of items, and what users' posteriors need of them; see ``user_moments``."""

    @classmethod
    def start(
        cls, history: History, users: NDArray[np.int64], params: VBPMFParams, seed: int
    ) -> Self:
        """Global mean, no user effects, small random item factors.

        Args:
            history: Sorted by user.
            users: Rows of users.parquet with a rating, ascending; entity r is ``users[r]``.
            params: Dimensions.
            seed: Of the random factors.
        """
        rows = np.searchsorted(users, history.users_R.numpy())
        columns, y = history.items_R.numpy(), history.targets_R.numpy().astype(np.float64)
        n_users, n_items, d = len(users), history.n_items, 1 + params.factors
        by_user, by_item = Ratings.of_both(rows, columns, y, (n_users, n_items))

        variance = max(float(y.var()), LEAST_NOISE)

        def side(features: NDArray[np.float32], rated: Ratings, relevance: bool) -> Side:
            n = len(features)
            return Side(
                posterior=Gaussians(np.zeros((n, d)), np.zeros((n, d, d))),
                features=behind_constant(features),
                active=rated.count > 0,
                prior_map=np.zeros((1 + features.shape[1], d)),
                prior_covariance=np.diag([variance / 4] + params.factors * [START]),
                penalty=np.array([0.0] + features.shape[1] * [params.side_penalty]),
                relevance=relevance,
            )

        model = cls(
            by_user=by_user,
            by_item=by_item,
            users=side(history.user_features_UF.numpy()[users], by_user, params.relevance),
            items=side(history.item_features_NG.numpy(), by_item, False),
            user_noise=params.user_noise,
            exactness_U=np.ones(n_users),
            noise=variance,
        )
        mean = model.items.posterior.mean
        mean[:] = np.random.default_rng(seed).normal(scale=START, size=mean.shape)
        mean[:, 0] = y.mean()
        model.items.prior_map[0, 0] = y.mean()
        return model

    def sweep(self) -> None:
        """Users and their prior, items and theirs, then the noise."""
        moments = self.user_moments().times(self.exactness_U)
        self.known = None  # frees what is read no more before posteriors are made
        self.users.posterior = self.users.solve(moments, self.noise)
        self.users.refit_prior()
        self.items.posterior = self.items.solve(self.item_moments(), self.noise)
        self.items.refit_prior()
        self._refit_noise()
        if self._adrift():
            self.balance()

    def balance(self) -> None:
        """Choose coordinates: users' factors have mean 0 and the prior covariance of the items'.

        Ratings read products of factors, so no prediction changes. Sweeps leave the coordinates to
        chance, and since covariances divide by less than the number of entities, those of a factor
        that says little drift, without end where items are few.
        """
        mean = np.concatenate([[0.0], self.users.prior_map[0, 1:]])
        self.users.shift(-mean)
        root = np.linalg.cholesky(self.users.prior_covariance[1:, 1:])
        shear = np.eye(len(mean))
        shear[0] += mean  # the items' offsets take over what users have in common
        self.items.turn(shear)
        items = self.items.prior_covariance[1:, 1:]
        square, rotation = np.linalg.eigh(root.T @ items @ root)
        quarter = square[:, None] ** 0.25
        self.users.turn(_beside_one(quarter * (rotation.T @ np.linalg.inv(root))))
        self.items.turn(_beside_one(rotation.T @ root.T / quarter))

    def _adrift(self) -> bool:
        mean, covariance = self.users.prior_map[0, 1:], self.users.prior_covariance[1:, 1:]
        faint = np.linalg.eigvalsh(covariance)[0] < FAINT
        return bool(faint or mean @ np.linalg.solve(covariance, mean) > FAR**2)

    def user_moments(self) -> Moments:
        """What the users' posteriors need of their ratings.

        A sweep ends with the errors, which read the same as the step of the next one does: it is
        kept for as long as the items' posteriors are the ones that it was made from.
        """
        items = self.items.posterior
        if self.known is None or self.known[0] is not items:
            self.known = None
            self.known = items, _moments(self.by_user, self.items.design())
        return self.known[1]

    def item_moments(self, users: NDArray[np.int64] | None = None) -> Moments:
        """What the items' posteriors need of the ratings of some users; None for all."""
        design = self.users.design().times(self.exactness_U)
        if users is None:
            return _moments(self.by_item, design)
        return _moments(self.by_item.columns(users), Design(*(part[users] for part in design)))

    def _refit_noise(self) -> None:
        """``t_u`` is the mean of its Gamma posterior; s2 is the weighted mean of squared errors."""
        error_U, count_U = self.expected_errors(), self.by_user.count
        if self.user_noise:
            self.exactness_U = (SHAPE + count_U / 2) / (SHAPE + error_U / (2 * self.noise))
        noise = float((self.exactness_U * error_U).sum() / count_U.sum())
        self.noise = max(noise, LEAST_NOISE)

    def expected_errors(self) -> Array:
        """Sum of expected squared errors over the ratings of each user, under both posteriors.

        With ``(b_i, d_i)`` an item's offset and design and ``w`` the user: ``E (y - b - d'w)^2 =
        y^2 - 2 y b + E b^2 - 2 (y E d - E[b d])'w + tr(E[dd'] E[ww'])``, summed by user.
        """
        moments = self.user_moments()
        mean, covariance = self.users.posterior
        items = self.items.posterior
        offset, y = items.mean[:, 0], self.by_user.values
        total = self.by_user.squares - 2 * (y @ offset)
        total += self.by_user.pattern @ (offset**2 + items.covariance[:, 0, 0])
        for part in blocks(len(mean)):
            second = mean[part, :, None] * mean[part, None, :] + covariance[part]
            total[part] += (moments.gram[part] * second).sum((1, 2))
            total[part] -= 2 * (moments.right[part] * mean[part]).sum(1)
        return np.asarray(total, dtype=np.float64)


def _beside_one(turn: Array) -> Array:
    """The same for factors that stand behind a bias, which stays as it is."""
    whole = np.eye(1 + len(turn))
    whole[1:, 1:] = turn
    return whole


def _moments(ratings: Ratings, design: Design) -> Moments:
    cross = ratings.pattern @ design.cross
    return Moments(ratings.sums(design.second), ratings.values @ design.x - cross, cross)


def fit_vbpmf(history: History, validation: Chooser, params: PretrainParams, seed: int) -> Backbone:
    """The items' side information as it is, the same noise for all users."""
    return _fit("vbpmf", history, params.vbpmf, seed)


def fit_vbpmf_audience(
    history: History, validation: Chooser, params: PretrainParams, seed: int
) -> Backbone:
    """With the audiences of items, and a noise of their own for users."""
    return _fit("vbpmf_audience", history, params.vbpmf_audience, seed)


def _fit(kind: str, history: History, params: VBPMFParams, seed: int) -> Backbone:
    """Fit on all historical users, then give the items' posteriors without each group of users.

    A cross-fitted table is one item step from the total moments less the group's own, with the
    users' posteriors held fixed: so all tables share one coordinate system.
    """
    audience_NM = torch.zeros(history.n_items, 0)
    if params.audience:
        audience_NM = audience_features(history, params.audience)
        known = (history.item_features_NG, audience_NM)
        history = history._replace(item_features_NG=torch.cat(known, 1))
    users = np.unique(history.users_R.numpy())
    model = Factorisation.start(history, users, params, seed)
    for _ in progress(range(params.sweeps), f"{kind} sweeps"):
        model.sweep()
    total = model.item_moments()
    count = model.by_item.count
    full = model.items.solve(total, model.noise)
    full.covariance[count == 0] += _of_audiences(model.items, audience_NM.double().numpy(), count)
    tables, counts = [full.mean], [count]
    group = user_groups(len(users), params.crossfit, seed)
    for g in range(1, group.max(initial=0) + 1):
        rows = np.flatnonzero(group == g)
        rest = total.less(model.item_moments(rows))
        tables.append(model.items.solve(rest, model.noise).mean)
        counts.append(count - model.by_item.columns(rows).count)
    group_U = torch.zeros(history.n_users, dtype=torch.int64)
    group_U[users] = torch.from_numpy(group)
    average = model.users.prior_map[0]
    features = np.stack([constant_first(table) for table in tables])
    prior = {
        "prior_DD": _float32(model.users.prior_covariance),
        "noise": _float32(np.array(model.noise)),
    }
    return Backbone(
        kind=kind,
        features_CND=_float32(features),
        offset_CN=_float32(np.stack(tables)[..., 0] + features @ average),
        count_CN=_float32(np.stack(counts)),
        prior_FD=_float32(model.users.prior_map[1:]),
        group_U=group_U,
        side_NG=history.item_features_NG,
        covariance_NDD=_float32(_of_offset(full.covariance, average)),
        **unfitted(history, 1 + params.factors) | prior,
    )


def _of_audiences(items: Side, audience_NM: Array, count_N: Array) -> Array:
    """Covariance of what audiences say of items, over ratings: ``[D, D]``.

    Where an audience is known it is part of the prior mean. Of an item that nobody rated it is
    unknown, which makes it as much less certain.
    """
    map_MD = items.prior_map[len(items.prior_map) - audience_NM.shape[1] :]
    said_ND = audience_NM @ map_MD
    share_N = count_N / count_N.sum()
    centred_ND = said_ND - share_N @ said_ND
    return np.asarray(centred_ND.T @ (share_N[:, None] * centred_ND))


def _of_offset(covariance: Array, average: Array) -> Array:
    """Covariance of (offset, factors) from that of (b, factors); offsets are for ``average``."""
    turn = np.eye(len(average))
    turn[0, 1:] = average[1:]
    return np.asarray(turn @ covariance @ turn.T)


def _float32(values: Array) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))
