"""Components, lessons and loss terms against hand-computed ones; learning brings it nearer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from coldstart.combinations import check_params
from coldstart.combinations.base import Ingredients
from coldstart.combinations.lessons import Components, Lessons, components, lessons
from coldstart.combinations.student import (
    Student,
    StudentParams,
    fold_in,
    learn,
    scores,
    start,
    terms,
)
from coldstart.data.episodes import Support
from coldstart.models.recommender import Prediction
from coldstart.params import Params


def _theta() -> dict[str, Tensor]:
    """Three items on one factor: offsets 3, loadings 0, 1, 2; penalty 2, no prior."""
    return {
        "offset_N": torch.tensor([3.0, 3.0, 3.0]),
        "x_NE": torch.tensor([[0.0], [1.0], [2.0]]),
        "prior_FE": torch.zeros(1, 1),
        "choice_JE": torch.zeros(3, 1),
        "log_penalty_E": torch.tensor([2.0]).log(),
        "log_damping": torch.tensor(4.0).log(),
        "map_EE": torch.tensor([[3.0]]),
    }


def _support(items: list[int], targets: list[float], attribute: float = 0.0) -> Support:
    return Support(
        torch.tensor([items], dtype=torch.int64),
        torch.tensor([targets]),
        torch.ones(1, len(items), dtype=torch.bool),
        torch.tensor([[attribute]]),
        torch.zeros(1, dtype=torch.int64),
    )


def _weights(theta: dict[str, Tensor], support: Support) -> Tensor:
    return fold_in(theta).adapt(support.of_new_users())["mean_BD"]


def test_fold_in_by_hand() -> None:
    """Ratings 5 and 4 of items 1 and 2: (1*2 + 2*1) / (1 + 4 + 2)."""
    support = _support([1, 2], [5.0, 4.0])
    torch.testing.assert_close(_weights(_theta(), support), torch.tensor([[4 / 7]]))
    informed = _theta() | {"prior_FE": torch.tensor([[0.5]]), "choice_JE": torch.ones(3, 1)}
    # the prior mean is .5 * 1 + ((1 + 3 + 1) + (1 + 3 + 2)) / (2 + 4)
    expected = (4 + 2 * (0.5 + 11 / 6)) / 7
    known = support._replace(users_BF=torch.tensor([[1.0]]))
    torch.testing.assert_close(_weights(informed, known), torch.tensor([[expected]]))


def test_loss_terms_by_hand() -> None:
    """The user's weight is 4/7; query item 1 rated 4, drawn item 2, and a padded one."""
    taught = Lessons(
        support=_support([1, 2], [5.0, 4.0]),
        items_TQ=torch.tensor([[1, 0, 2]]),
        mask_TQ=torch.tensor([[True, False, True]]),
        rated_TQ=torch.tensor([[True, False, False]]),
        targets_TQ=torch.tensor([[4.0, 99.0, 99.0]]),
        teacher_TQ=torch.tensor([[3.0, 99.0, 4.0]]),
        components_TE=torch.tensor([[1.0]]),
    )
    soft, hard, alignment = terms(_theta(), taught)
    torch.testing.assert_close(soft, torch.tensor(((4 / 7) ** 2 + (1 / 7) ** 2) / 2))
    torch.testing.assert_close(hard, torch.tensor((3 / 7) ** 2))
    torch.testing.assert_close(alignment, torch.tensor((12 / 7 - 1) ** 2))


def test_the_variance_is_that_of_the_number_of_ratings() -> None:
    student = Student(_theta(), torch.tensor([0.9, 0.8]))
    state = student.adapt(_support([1, 2, 2], [5.0, 4.0, 1.0], 0.7))
    assert float(state["variance_B1"]) == pytest.approx(0.8)
    nobody = student.adapt(_support([], [], 0.7))
    assert float(nobody["variance_B1"]) == pytest.approx(0.9)


@dataclass
class Linear:
    """A teacher of rank 2 without noise: a user's place is the mean of the supports' targets."""

    loadings_NE: Tensor

    def adapt(self, support: Support) -> dict[str, Tensor]:
        known = (support.targets_BS * support.mask_BS).sum(1) / support.mask_BS.sum(1).clamp(min=1)
        return {"place_BE": torch.stack([known, support.users_BF[:, 0]], 1)}

    def score_catalogue(self, state: dict[str, Tensor]) -> Prediction:
        return Prediction(2.0 + state["place_BE"] @ self.loadings_NE.T)


def test_components_of_a_teacher_of_rank_two(ingredients: Ingredients) -> None:
    generator = torch.Generator().manual_seed(0)
    n_items = ingredients.history.n_items
    teacher: Any = Linear(torch.randn(n_items, 2, generator=generator))
    sampler = ingredients.episodes()
    supports = [sampler.sample().support for _ in range(4)]
    found = components(teacher, supports, 2)
    catalogue = torch.cat([teacher.score_catalogue(teacher.adapt(s)).mean for s in supports])
    place = found.of(catalogue)
    torch.testing.assert_close(
        found.mean_N + place @ found.loadings_NE.T, catalogue, rtol=1e-4, atol=1e-4
    )
    empty = torch.cat([teacher.score_catalogue(teacher.adapt(s.first(0))).mean for s in supports])
    variance = torch.cat([place, found.of(empty)]).var(0, correction=0)
    torch.testing.assert_close(variance, torch.ones(2), rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def taught(ingredients: Ingredients) -> tuple[Lessons, Components]:
    teacher = ingredients.methods["vbpmf_implicit"]
    return lessons(teacher, ingredients.episodes(), factors=4, seed=0)


@pytest.mark.parametrize("term", ["soft", "hard", "alignment"])
def test_each_term_falls_when_it_alone_is_learnt(
    taught: tuple[Lessons, Components], params: Params, term: str
) -> None:
    given, found = taught
    section = check_params(params)["student"]
    weights = {"soft": 0.0, "hard": 0.0, "alignment": 0.0, term: 1.0}
    alone = StudentParams.model_validate(section.model_dump() | weights | {"steps": 60})
    before = getattr(terms(start(found), given), term)
    after = getattr(terms(learn(given, start(found), alone, seed=0), given), term)
    assert after < 0.95 * before


def test_lessons_ask_the_teacher(
    taught: tuple[Lessons, Components], ingredients: Ingredients
) -> None:
    given, _ = taught
    teacher = ingredients.methods["vbpmf_implicit"]
    mean = teacher.score(teacher.adapt(given.support), given.items_TQ).mean
    torch.testing.assert_close(given.teacher_TQ, mean, rtol=1e-4, atol=1e-4)
    assert (given.rated_TQ <= given.mask_TQ).all()
    assert (given.items_TQ[given.mask_TQ] > 0).all()
    theta = start(taught[1])
    assert scores(theta, _weights(theta, given.support), given.items_TQ).isfinite().all()
