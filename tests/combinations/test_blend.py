"""The weights against hand-computed and planted ones; what depends on K; what is fitted on what."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from coldstart.combinations.base import Ingredients
from coldstart.combinations.blend import Blend, error_moments, over_neighbours, simplex_weights
from coldstart.data.episodes import Episodes, Support
from coldstart.models.recommender import Prediction, Recommender, State


class Fixed(Recommender):
    """Predicts ``table_BN[users]`` plus a noise that depends on the number of ratings."""

    kind = "fixed"

    def __init__(self, table_KN: Tensor) -> None:
        self.table_KN = table_KN
        self.n_items = table_KN.shape[1]

    def adapt(self, support: Support) -> State:
        return {"count_B": support.mask_BS.sum(1)}

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        return Prediction(self.score_catalogue(state).mean.gather(1, items_BQ))

    def score_catalogue(self, state: State) -> Prediction:
        return Prediction(self.table_KN[state["count_B"]])

    def tensors(self) -> dict[str, Tensor]:
        return {"table_KN": self.table_KN}

    def config(self) -> dict[str, object]:
        return {}

    @classmethod
    def from_bundle(cls, bundle: object) -> Fixed:
        raise NotImplementedError


def _episodes(targets_BQ: Tensor, pool: int = 2) -> Episodes:
    n_users, query = targets_BQ.shape
    support = Support(
        torch.ones(n_users, pool, dtype=torch.int64),
        torch.ones(n_users, pool),
        torch.ones(n_users, pool, dtype=torch.bool),
        torch.zeros(n_users, 0),
        torch.zeros(n_users, dtype=torch.int64),
    )
    items_BQ = torch.arange(query).expand(n_users, -1)
    return Episodes(
        support, items_BQ, targets_BQ, torch.ones_like(items_BQ).bool(), torch.arange(n_users)
    )


def test_moments_weigh_users_equally() -> None:
    """User 0 has two queries with errors (1, 2) and (3, 0), user 1 one with (2, -2)."""
    episodes = _episodes(torch.zeros(2, 2))._replace(mask_BQ=torch.tensor([[1, 1], [1, 0]]).bool())
    predictions = torch.tensor([[[1.0, 3.0], [2.0, 9.0]], [[2.0, 0.0], [-2.0, 9.0]]])
    expected = torch.tensor([[(1 + 9) / 2 + 4, (2 + 0) / 2 - 4], [(2 + 0) / 2 - 4, 4 / 2 + 4]]) / 2
    torch.testing.assert_close(error_moments(predictions, episodes), expected.double())


@pytest.mark.parametrize("shrinkage", [0.0, 0.5])
def test_two_members_by_hand(shrinkage: float) -> None:
    """Minimise 4 w^2 + (1 - w)^2 + s ((w - 1/2)^2 + (1/2 - w)^2): w = (1 + s) / (5 + 2 s)."""
    moments = torch.tensor([[[4.0, 0.0], [0.0, 1.0]]])
    w = (1 + shrinkage) / (5 + 2 * shrinkage)
    expected = torch.tensor([[w, 1 - w]]).double()
    torch.testing.assert_close(simplex_weights(moments, shrinkage), expected)


def test_a_member_that_only_hurts_gets_nothing_and_shrinkage_makes_equal() -> None:
    """Unconstrained, the second of two members with these moments would weigh -1/3."""
    moments = torch.tensor([[[1.0, 1.5], [1.5, 4.0]]])
    torch.testing.assert_close(simplex_weights(moments, 0.0), torch.tensor([[1.0, 0.0]]).double())
    torch.testing.assert_close(
        simplex_weights(moments, 1e9), torch.full((1, 2), 0.5).double(), rtol=0, atol=1e-6
    )
    nothing_known = simplex_weights(torch.zeros(1, 3, 3), 0.1)
    torch.testing.assert_close(nothing_known, torch.full((1, 3), 1 / 3).double())


def test_neighbours_share_and_constants_stay() -> None:
    """Those of K = 0 and 2 weigh exp(-log(3/2)^2 / 2) and exp(-log(2)^2 / 2) at K = 1 and 1."""
    near, far = 1.5 ** (-math.log(1.5) / 2), 2 ** (-math.log(2) / 2)
    averaged = over_neighbours(torch.tensor([1.0, 2.0, 4.0]))
    assert float(averaged[1]) == pytest.approx((far + 2 + 4 * near) / (far + 1 + near))
    assert (averaged.diff() >= 0).all()
    torch.testing.assert_close(over_neighbours(torch.ones(5, 2)), torch.ones(5, 2).double())


@pytest.fixture(scope="module")
def planted() -> tuple[Mapping[str, Recommender], Episodes]:
    """The truth is ``.3 a + .7 b``, but ``b`` is noisy without ratings; ``c`` is always noise."""
    generator = torch.Generator().manual_seed(0)
    a_N, b_N, c_N = torch.randn(3, 400, generator=generator)
    truth_BQ = (0.3 * a_N + 0.7 * b_N).expand(5, -1)
    pool = 20
    same = {name: Fixed(x.expand(pool + 1, -1)) for name, x in {"a": a_N, "c": c_N}.items()}
    gap_K1 = (torch.arange(pool + 1) == 0).float()[:, None]
    b_KN = (1 - gap_K1) * b_N + gap_K1 * (b_N + torch.randn(400, generator=generator))
    return {**same, "b": Fixed(b_KN)}, _episodes(truth_BQ, pool)


def test_weights_recover_a_planted_optimum_at_every_k(
    planted: tuple[Mapping[str, Recommender], Episodes],
) -> None:
    members, episodes = planted
    blend = Blend.fit(members, episodes, shrinkage=1e-6)
    weights = dict(zip(blend.members, blend.weights_KM.T, strict=True))
    assert float(weights["b"][0]) < 0.65  # its noise without ratings has variance 1
    assert (weights["b"].diff() > -1e-6).all()
    last = blend.weights_KM[-1].sum() - weights["b"][-1] - weights["a"][-1]
    assert abs(float(weights["b"][-1]) - 0.7) < 0.02
    assert abs(float(last)) < 0.02
    torch.testing.assert_close(blend.weights_KM.sum(1), torch.ones(21))


def test_a_useless_member_is_not_kept() -> None:
    """Its errors are those of the better one, doubled."""
    truth_BQ = torch.linspace(1, 5, 50).expand(3, -1)
    good_KN, bad_KN = truth_BQ + 1, truth_BQ + 2
    members = {"bad": Fixed(bad_KN), "good": Fixed(good_KN)}
    blend = Blend.fit(members, _episodes(truth_BQ), shrinkage=0.1)
    assert list(blend.members) == ["good"]
    state = blend.adapt(_episodes(truth_BQ).support)
    torch.testing.assert_close(blend.score_catalogue(state).mean, good_KN)
    assert blend.score(state, torch.zeros(3, 1).long()).variance is None


def test_users_read_the_weights_of_their_own_k(
    make: Callable[[str], Blend], episodes: Episodes
) -> None:
    blend = make("blend")
    mask = torch.arange(10) < torch.tensor([0, 1, 2, 3, 5, 9, 10])[:, None]
    state = blend.adapt(episodes.support._replace(mask_BS=mask))
    torch.testing.assert_close(state["weights_BM"], blend.weights_KM[[0, 1, 2, 3, 5, 9, 10]])
    together = sum(
        state["weights_BM"][:, i, None]
        * member.score_catalogue(member.adapt(episodes.support._replace(mask_BS=mask))).mean
        for i, member in enumerate(blend.members.values())
    )
    torch.testing.assert_close(blend.score_catalogue(state).mean, together)


def test_the_variance_fits_the_errors(
    make: Callable[[str], Blend], ingredients: Ingredients
) -> None:
    spare, blend = ingredients.validation.validation, make("blend")
    assert spare is not None
    ratios = []
    for k in range(11):
        mean, variance = blend.score(blend.adapt(spare.support.first(k)), spare.items_BQ)
        squared = (mean - spare.targets_BQ).square() / variance
        per_user = (squared * spare.mask_BQ).sum(1) / spare.mask_BQ.sum(1).clamp(min=1)
        ratios.append(per_user[spare.mask_BQ.any(1)].mean())
    assert abs(float(torch.stack(ratios).mean()) - 1) < 0.05
