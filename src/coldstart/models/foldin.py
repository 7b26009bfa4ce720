"""The one posterior: what a user's ratings say of the user's weights, in closed form.

``y = offset_i + x_i . w + e`` with ``w ~ N(m, P^-1)`` and ``e ~ N(0, 1 / weight_i)``:

    precision  P + G,    mean  m + (P + G)^-1 (r - G m),
    G = sum_i weight_i E[x x'],    r = sum_i weight_i E[x (y - offset)].

An item's (offset, x but its constant) may be uncertain, with a posterior covariance of its own: the
expectations are over it, and an item of which little is known says little about the user. Of
disjoint ratings G and r add up, so one more rating is folded in exactly. ``foldin_alone.py`` is the
same for one user alone, in numpy.

Legend: B users, S ratings of each, Q items to predict, C cross-fitted tables, N items, F user
features, D features of an item; the constant is first where items are uncertain.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from coldstart.data.episodes import Support
from coldstart.models.recommender import State


class Items(NamedTuple):
    """Items as a linear model sees them; any leading dimensions."""

    x: Tensor  # [..., D]
    offset: Tensor  # [...]
    covariance: Tensor | None  # [..., D, D] of (offset, x[1:]); None: nothing is uncertain


class Evidence(NamedTuple):
    """What ratings say about weights; of disjoint ratings it adds up."""

    gram: Tensor  # [..., D, D]: E[x x']
    right: Tensor  # [..., D]: E[x (y - offset)]
    square: Tensor  # [...]: E[(y - offset)^2]


class Posterior(NamedTuple):
    """A normal distribution of weights."""

    mean: Tensor  # [..., D]
    factor: Tensor  # [..., D, D], lower triangle: factor @ factor.mT is the precision

    @property
    def covariance(self) -> Tensor:
        """``[..., D, D]``."""
        return torch.cholesky_inverse(self.factor)


def second_moment(items: Items) -> Tensor:
    """``E[x x']``: ``[..., D, D]``."""
    product: Tensor = items.x.unsqueeze(-1) * items.x.unsqueeze(-2)
    return product if items.covariance is None else product + _of_features(items.covariance)


def cross_moment(items: Items) -> Tensor:
    """``E[offset x]``: ``[..., D]``."""
    product = items.offset.unsqueeze(-1) * items.x
    if items.covariance is None:
        return product
    return product + _without_first(items.covariance[..., 0, :])


def evidence(items: Items, targets_BS: Tensor, weight_BS: Tensor) -> Evidence:
    """Sums over the ratings of each user, weighted; a weight of 0 is no rating."""
    x_BSD, offset_BS, covariance = items
    weighted_BSD = x_BSD * weight_BS.unsqueeze(-1)
    rest_BS = targets_BS - offset_BS
    gram_BDD = weighted_BSD.mT @ x_BSD
    right_BD = (weighted_BSD * rest_BS.unsqueeze(-1)).sum(-2)
    square_BS = rest_BS.square()
    if covariance is not None:
        own_BDD = torch.einsum("bs,bsde->bde", weight_BS, covariance)
        gram_BDD = gram_BDD + _of_features(own_BDD)
        right_BD = right_BD - _without_first(own_BDD[..., 0, :])
        square_BS = square_BS + covariance[..., 0, 0]
    return Evidence(gram_BDD, right_BD, (weight_BS * square_BS).sum(-1))


def posterior(gram: Tensor, right: Tensor, prior: Tensor, precision: Tensor) -> Posterior:
    """Of weights that were ``N(prior, precision^-1)``: exactly ``prior`` where nothing is known.

    Args:
        gram: of all ratings, as in :class:`Evidence`, ``[..., D, D]``.
        right: likewise, ``[..., D]``.
        prior: mean, ``[..., D]``.
        precision: ``[D, D]`` or ``[..., D, D]``.
    """
    factor = torch.linalg.cholesky(precision + gram)
    surprise = right - _times(gram, prior)
    step = torch.cholesky_solve(surprise.unsqueeze(-1), factor).squeeze(-1)
    return Posterior(prior + step, factor)


def expected_error(known: Evidence, found: Posterior) -> Tensor:
    """``E sum (y - offset - x.w)^2`` over the ratings, weighted as they are: ``[...]``."""
    mean, second = found.mean, _outer(found.mean) + found.covariance
    linear = (known.right * mean).sum(-1)
    return known.square - 2 * linear + (known.gram * second).sum((-2, -1))


def predictive(items: Items, found: Posterior) -> tuple[Tensor, Tensor]:
    """Mean and variance of ``offset + x . w``, without the noise of a rating: ``[B, Q]`` both."""
    mean_BQ = items.offset + _times(items.x, found.mean)
    half_BDQ = torch.linalg.solve_triangular(found.factor, items.x.mT, upper=False)
    variance_BQ = half_BDQ.square().sum(-2)
    if items.covariance is not None:
        variance_BQ = variance_BQ + own_variance(items, found.mean, found.covariance)
    return mean_BQ, variance_BQ


def own_variance(items: Items, mean_BD: Tensor, covariance_BDD: Tensor) -> Tensor:
    """Variance of a prediction that an item's own uncertainty adds: ``[B, Q]``.

    ``items`` are ``[B, Q]``; the user's weights are normal with the given mean and covariance.
    """
    if items.covariance is None:
        return torch.zeros_like(items.offset)
    tilde_BD = torch.cat([torch.ones_like(mean_BD[:, :1]), mean_BD[:, 1:]], 1)
    second_BDD = _outer(tilde_BD) + _of_features(covariance_BDD)
    return torch.einsum("bqde,bde->bq", items.covariance, second_BDD)


def expected(prior_CFD: Tensor, support: Support) -> Tensor:
    """What attributes say of users before any rating, by their tables: ``[B, D]``.

    Args:
        prior_CFD: a map of attributes by table, or one for all: ``[1, F, D]``.
        support: its ratings are not read.
    """
    users_BF = support.users_BF.to(prior_CFD.dtype)
    if len(prior_CFD) == 1 or not support.crossfit_B.any():
        # new users: the same bits whether or not the tables of others lie beside theirs
        return users_BF @ prior_CFD[0]
    return (users_BF.unsqueeze(1) @ prior_CFD[support.crossfit_B]).squeeze(1)


class FoldIn(NamedTuple):
    """A linear model into which users are folded, and what is expected of them before.

    The prior mean is ``A u + sum_i c_i / (K + damping)`` for attributes u and K rated items.
    """

    x_CND: Tensor
    offset_CN: Tensor
    weight_CN: Tensor  # one over the variance of a rating's noise
    precision_DD: Tensor  # P
    prior_CFD: Tensor  # A, by table, or one for all: [1, F, D]
    covariance_NDD: Tensor | None = None  # of (offset, x[1:])
    choice_CND: Tensor | None = None  # c, what having chosen an item says; None: nothing
    damping: Tensor | float = 1.0

    def adapt(self, support: Support) -> State:
        """Posteriors of users, who read their cross-fitted tables, and the sums behind them."""
        sums = self._sums(support.items_BS, support.crossfit_B, support.targets_BS, support.mask_BS)
        return self._solved(sums, expected(self.prior_CFD, support))

    def update(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """One more rating of each user, who is new: exactly what adapting to all of them gives."""
        one_B1 = torch.ones_like(items_B, dtype=torch.bool).unsqueeze(1)
        table_B = torch.zeros_like(items_B)
        more = self._sums(items_B.unsqueeze(1), table_B, targets_B.unsqueeze(1), one_B1)
        sums = {name: state[name] + value for name, value in more.items()}
        return state | self._solved(sums, state["attributes_BD"])

    def items(self, items: Tensor, table: Tensor) -> Items:
        """Rows of cross-fitted tables."""
        own = None if self.covariance_NDD is None else self.covariance_NDD[items]
        return Items(self.x_CND[table, items], self.offset_CN[table, items], own)

    def _sums(
        self, items_BS: Tensor, table_B: Tensor, targets_BS: Tensor, mask_BS: Tensor
    ) -> State:
        at = table_B.unsqueeze(1), items_BS
        weight_BS = mask_BS * self.weight_CN[at]
        items = self.items(items_BS, table_B.unsqueeze(1))
        known = evidence(items, targets_BS.to(weight_BS.dtype), weight_BS)
        choice_BD = torch.zeros_like(known.right)
        if self.choice_CND is not None:
            choice_BD = (self.choice_CND[at] * mask_BS.unsqueeze(-1)).sum(1)
        return {
            "gram_BDD": known.gram,
            "right_BD": known.right,
            "square_B": known.square,
            "choice_BD": choice_BD,
            "count_B": mask_BS.sum(1).to(known.right.dtype),
        }

    def _solved(self, sums: State, attributes_BD: Tensor) -> State:
        share_BD = sums["choice_BD"] / (sums["count_B"].unsqueeze(1) + self.damping)
        gram_BDD, right_BD, _ = known_of(sums)
        found = posterior(gram_BDD, right_BD, attributes_BD + share_BD, self.precision_DD)
        return sums | {
            "attributes_BD": attributes_BD,
            "mean_BD": found.mean,
            "factor_BDD": found.factor,
        }


def known_of(state: State) -> Evidence:
    """Read the sums off a state of :class:`FoldIn`."""
    return Evidence(state["gram_BDD"], state["right_BD"], state["square_B"])


def found_in(state: State) -> Posterior:
    """Read the posterior off a state of :class:`FoldIn`."""
    return Posterior(state["mean_BD"], state["factor_BDD"])


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    product: Tensor = (matrix @ vector.unsqueeze(-1)).squeeze(-1)
    return product


def _outer(vector: Tensor) -> Tensor:
    return vector.unsqueeze(-1) * vector.unsqueeze(-2)


def _without_first(vector: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(vector[..., :1]), vector[..., 1:]], -1)


def _of_features(covariance: Tensor) -> Tensor:
    """The same with zeros for the first row and column: the constant feature is certain."""
    return torch.nn.functional.pad(covariance[..., 1:, 1:], (1, 0, 1, 0))
