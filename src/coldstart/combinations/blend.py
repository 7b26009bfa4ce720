"""``blend``: a weighted average of predictions whose weights depend on the number of ratings K.

For each K the weights are nonnegative, sum to 1 and minimise ``w' G_K w + lambda |w - 1/M|^2``,
where ``G_K`` are the second moments of the members' errors on validation users (Breiman 1996,
stacking under constraints; here with a prior that all weights are equal, and moments averaged over
neighbouring K, so that they move little from one K to the next). Ratings that the evaluation reads
take no part.

The predictive variance is the mean of the members' own, times a factor for each K, under which the
squared errors of the blend are on average what it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import nnls
from torch import Tensor

from coldstart.algorithms import ALGORITHMS
from coldstart.baselines import BASELINES
from coldstart.combinations.base import Combination, Ingredients
from coldstart.data.choices import Chooser, choose
from coldstart.data.episodes import Episodes, Support
from coldstart.models.bundle import Bundle
from coldstart.models.floors import LEAST_FACTOR
from coldstart.models.recommender import Prediction, Recommender, State, named, part_of
from coldstart.params import Section, search

REACH = 1.0
"""Standard deviation, in log(1 + K), of the kernel that averages moments over neighbouring K."""


class BlendParams(Section):
    """Members and how freely they are weighted."""

    members: tuple[str, ...] = Field(
        min_length=2,
        strict=False,
        description="Methods to blend; one that the run has not fitted is left out.",
    )
    shrinkage: float = Field(
        gt=0,
        json_schema_extra=search(1e-4, 1e-1, log=True),
        description="Penalty of the squared distance of the weights to equal ones, in squared "
        "units of the targets.",
    )


class Blend(Combination, Recommender):
    """Members by name, and their weights after K ratings; the last row serves all larger K."""

    kind: ClassVar[str] = "blend"
    Params: ClassVar[type[Section]] = BlendParams
    least: ClassVar[int] = 2

    def __init__(
        self, members: Mapping[str, Recommender], weights_KM: Tensor, factor_K: Tensor
    ) -> None:
        self.members = dict(members)
        self.weights_KM = weights_KM
        self.factor_K = factor_K
        self.exact_update = all(member.exact_update for member in self.members.values())
        self.n_items = next(iter(self.members.values())).n_items

    @staticmethod
    def wanted(section: BlendParams) -> tuple[str, ...]:
        """The members."""
        return section.members

    @classmethod
    def make(cls, section: BlendParams, ingredients: Ingredients) -> Self:
        """Fit the weights; members that are of no use at any K are not kept."""
        return cls.fit(ingredients.methods, ingredients.validation, section.shrinkage)

    @classmethod
    def fit(cls, members: Mapping[str, Recommender], validation: Chooser, shrinkage: float) -> Self:
        """Weights for every K up to the size of the support pool, then the variance's factors."""

        def weights(episodes: Episodes) -> list[list[float]]:
            moments = [
                error_moments(_predictions(members, episodes, k), episodes)
                for k in range(episodes.support.items_BS.shape[1] + 1)
            ]
            chosen_KM = simplex_weights(over_neighbours(torch.stack(moments)), shrinkage)
            return chosen_KM.float().tolist()

        weights_KM = torch.tensor(choose(validation, "weights_KM", weights))
        useful_M = (weights_KM > 0).any(0)
        kept = [member for member, useful in zip(members, useful_M, strict=True) if useful]
        blend = cls(
            {name: members[name] for name in kept},
            weights_KM[:, useful_M],
            torch.ones(len(weights_KM)),
        )
        factor_K = choose(validation, "factor_K", blend._variance_factors)
        return cls(blend.members, blend.weights_KM, torch.tensor(factor_K))

    def adapt(self, support: Support) -> State:
        """The states of all members, and the weights for the number of ratings."""
        state = self._of_count(support.mask_BS.sum(1))
        for name, member in self.members.items():
            state |= named(member.adapt(support), f"{name}.")
        return state

    def update(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """Every member's own, and the weights for one rating more."""
        after = self._of_count(state["count_B"] + 1)
        for name, member in self.members.items():
            own = member.update(part_of(state, f"{name}."), items_B, targets_B)
            after |= named(own, f"{name}.")
        return after

    def _of_count(self, count_B: Tensor) -> State:
        place_B = count_B.clamp(max=len(self.weights_KM) - 1)
        return {
            "count_B": count_B,
            "weights_BM": self.weights_KM[place_B],
            "factor_B": self.factor_K[place_B],
        }

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """Weighted mean; the variance where a member has one."""
        means_MBQ, variances = [], []
        for name, member in self.members.items():
            mean_BQ, variance_BQ = member.score(part_of(state, f"{name}."), items_BQ)
            means_MBQ.append(mean_BQ)
            if variance_BQ is not None:
                variances.append(variance_BQ)
        mean_BQ = _weighted(means_MBQ, state)
        if not variances:
            return Prediction(mean_BQ)
        return Prediction(mean_BQ, torch.stack(variances).mean(0) * state["factor_B"][:, None])

    def score_catalogue(self, state: State) -> Prediction:
        """Weighted means."""
        means_MBN = [
            member.score_catalogue(part_of(state, f"{name}.")).mean
            for name, member in self.members.items()
        ]
        return Prediction(_weighted(means_MBN, state))

    def tensors(self) -> dict[str, Tensor]:
        """The weights, and each member's tensors under its name."""
        own = {"weights_KM": self.weights_KM, "factor_K": self.factor_K}
        for name, member in self.members.items():
            # a file of tensors may not hold one twice, and members may share theirs
            own |= {f"{name}.{key}": value.clone() for key, value in member.tensors().items()}
        return own

    def config(self) -> dict[str, Any]:
        """Of each member its name, kind and own configuration, in the order of the weights."""
        return {
            "members": [
                {"name": name, "kind": member.kind, "config": member.config()}
                for name, member in self.members.items()
            ]
        }

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """See :meth:`Recommender.from_bundle`."""
        members = {}
        for part in bundle.config["members"]:
            kind = (BASELINES | ALGORITHMS)[part["kind"]]
            tensors = part_of(bundle.tensors, f"{part['name']}.")
            members[part["name"]] = kind.from_bundle(Bundle(part["kind"], part["config"], tensors))
        return cls(members, bundle.tensors["weights_KM"], bundle.tensors["factor_K"])

    def _variance_factors(self, episodes: Episodes) -> list[float]:
        """Mean of squared error over variance for each K, averaged over neighbouring K."""
        ratios = []
        for k in range(len(self.weights_KM)):
            mean_BQ, variance_BQ = self.score(
                self.adapt(episodes.support.first(k)), episodes.items_BQ
            )
            if variance_BQ is None:
                return self.factor_K.tolist()
            error_BQ = (mean_BQ - episodes.targets_BQ).square() / variance_BQ
            ratios.append(episodes.mean_over_users(error_BQ))
        averaged_K = over_neighbours(torch.stack(ratios)).float().clamp(min=LEAST_FACTOR)
        return averaged_K.tolist()


def error_moments(predictions_MBQ: Tensor, episodes: Episodes) -> Tensor:
    """``[M, M]``: mean over users of the mean over a user's query of products of two errors."""
    error_MBQ = (predictions_MBQ - episodes.targets_BQ).double()
    products_MMBQ = error_MBQ[:, None] * error_MBQ[None, :]
    return episodes.mean_over_users(products_MMBQ)


def over_neighbours(values_K: Tensor) -> Tensor:
    """Values for K = 0, 1, ... averaged by a Gaussian kernel in log(1 + K); any shape per K."""
    place_K = torch.arange(len(values_K)).double().log1p()
    kernel_KK = (-0.5 * ((place_K[:, None] - place_K) / REACH).square()).exp()
    kernel_KK = kernel_KK / kernel_KK.sum(1, keepdim=True)
    averaged: Tensor = torch.tensordot(kernel_KK, values_K.double(), dims=1)
    return averaged


def simplex_weights(moments_KMM: Tensor, shrinkage: float) -> Tensor:
    """For each K the point of the simplex that minimises ``w'Gw + shrinkage |w - 1/M|^2``.

    On the simplex ``w - 1/M = (I - 11'/M) w``, so the whole is a quadratic form ``w'Hw``; its least
    point is that of nonnegative least squares of ``[H^(1/2); 1'] w = [0; 1]``, scaled to sum 1:
    along a ray the objective falls with ``w'Hw`` at its crossing with the simplex.
    """
    M = moments_KMM.shape[1]
    centring_MM = np.eye(M) - 1 / M
    weights = []
    for moments_MM in moments_KMM.double().numpy():
        form_MM = moments_MM + shrinkage * centring_MM
        scale, turn_MM = np.linalg.eigh(form_MM / np.trace(form_MM))
        root_MM: NDArray[np.float64] = np.sqrt(np.clip(scale, 0, None))[:, None] * turn_MM.T
        solved_M, _ = nnls(np.vstack([root_MM, np.ones(M)]), np.append(np.zeros(M), 1.0))
        weights.append(solved_M / solved_M.sum())
    return torch.from_numpy(np.stack(weights))


def _predictions(members: Mapping[str, Recommender], episodes: Episodes, k: int) -> Tensor:
    """``[M, B, Q]``."""
    support = episodes.support.first(k)
    return torch.stack(
        [member.score(member.adapt(support), episodes.items_BQ).mean for member in members.values()]
    )


def _weighted(means_MBQ: list[Tensor], state: State) -> Tensor:
    return torch.einsum("mbq,bm->bq", torch.stack(means_MBQ), state["weights_BM"])
