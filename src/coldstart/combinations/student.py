"""``student``: a large method, often a blend, distilled into a small linear fold-in.

The student predicts ``offset_i + x_i . w`` with a few factors, and a user is one small solve:

    w = (X'X + P)^-1 (X'(y - offset) + P m),   m = A x_u + sum_i c_i / (K + d).

Everything in it is learnt by Adam from three targets (Hinton et al. 2015; FitNets, Romero et al.
2015, for the third), each with its weight in the loss:

- soft: what the teacher predicts for the episode's query and for items drawn at random;
- hard: the query's true targets;
- alignment: a linear map of ``w`` is to give the teacher's idea of the user, by which is meant the
  leading principal components of what it predicts for the whole catalogue. So any method can teach,
  whatever its state is. The map is learnt too and then dropped.

The student starts from those components: item vectors are the loadings, so it differs from the
teacher by what a few components leave and by how a user's place among them is found. Of a teacher
that makes lists it takes over how, see :mod:`_student_list`.

Legend: T lessons (users), E factors, F user features.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from coldstart.combinations._student_list import (
    ListHead,
    ListStudentServer,
    head_of,
    tensors_of,
)
from coldstart.combinations.base import Combination, Ingredients
from coldstart.combinations.blend import over_neighbours
from coldstart.combinations.lessons import Components, Lessons, lessons
from coldstart.data.choices import choose
from coldstart.data.episodes import Episodes, Support
from coldstart.models.bundle import Bundle
from coldstart.models.choosing import Choosing
from coldstart.models.floors import LEAST_NOISE
from coldstart.models.foldin import FoldIn
from coldstart.models.foldin_alone import FoldInServer, Known
from coldstart.models.recommender import Prediction, Recommender, State, named, part_of
from coldstart.models.server import Floats, Ints, Ratings, Server
from coldstart.params import Section, search

Theta = dict[str, Tensor]


class StudentParams(Section):
    """Size of the student and weights of what it learns from."""

    teacher: str = Field(description="The method that is distilled.")
    factors: int = Field(ge=1, le=64, description="Factors of the student.")
    steps: int = Field(ge=0, description="Updates of Adam; 0: stays as it starts.")
    rate: float = Field(
        gt=0,
        le=1,
        json_schema_extra=search(1e-3, 1e-1, log=True),
        description="First step size of Adam; falls to zero.",
    )
    soft: float = Field(ge=0, description="Weight of the squared distance to the teacher's scores.")
    hard: float = Field(
        ge=0,
        json_schema_extra=search(1e-3, 1, log=True),
        description="Weight of the squared error on true targets.",
    )
    alignment: float = Field(
        ge=0,
        json_schema_extra=search(1e-3, 1, log=True),
        description="Weight of the squared distance to the teacher's components.",
    )


class Terms(NamedTuple):
    """The three parts of the loss, not weighted yet."""

    soft: Tensor
    hard: Tensor
    alignment: Tensor


class Student(Combination, Recommender):
    """A fold-in on a few factors; the last row of ``variance_K`` serves all larger K."""

    kind: ClassVar[str] = "student"
    Params: ClassVar[type[Section]] = StudentParams
    least: ClassVar[int] = 1

    def __init__(self, theta: Theta, variance_K: Tensor, list_head: ListHead | None = None) -> None:
        # by row, as it lies when read from a bundle: products differ by that in the last bit
        self.theta = {name: theta[name].detach().contiguous() for name in WEIGHTS}
        self.variance_K = variance_K
        self.list_head = list_head
        self.n_items = len(theta["offset_N"])

    @staticmethod
    def wanted(section: StudentParams) -> tuple[str, ...]:
        """The teacher."""
        return (section.teacher,)

    @classmethod
    def make(cls, section: StudentParams, ingredients: Ingredients) -> Self:
        """Draw lessons, learn from them, and estimate the variance on validation users."""
        teacher, seed = ingredients.methods[section.teacher], ingredients.seed
        taught, found = lessons(teacher, ingredients.episodes(), section.factors, seed)
        student = cls(learn(taught, start(found), section, seed), torch.ones(1))
        variance_K = choose(ingredients.validation, "variance_K", student._squared_error)
        return cls(student.theta, torch.tensor(variance_K), ListHead.of(teacher))

    def adapt(self, support: Support) -> State:
        """One solve per user, and one of choice where the teacher makes lists."""
        support = support.of_new_users()
        state = self._with_variance(self._fold_in.adapt(support))
        if self._choosing is not None:
            state |= named(self._choosing.adapt(support), CHOICE)
            state["users_BF"] = support.users_BF
        return state

    def update(self, state: State, items_B: Tensor, targets_B: Tensor) -> State:
        """Exact, see :meth:`FoldIn.update`."""
        after = self._with_variance(self._fold_in.update(state, items_B, targets_B))
        if self._choosing is not None:
            after |= named(self._choosing.update(part_of(state, CHOICE), items_B), CHOICE)
        return after

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """Linear scores; the variance depends on K alone."""
        mean_BQ = scores(self.theta, state["mean_BD"], items_BQ)
        return Prediction(mean_BQ, state["variance_B1"].expand_as(mean_BQ))

    def score_catalogue(self, state: State) -> Prediction:
        """One matrix product."""
        offset_N, x_NE = self.theta["offset_N"], self.theta["x_NE"]
        return Prediction(torch.addmm(offset_N, state["mean_BD"], x_NE.mT))

    def rank_catalogue(self, state: State) -> Tensor:
        """As predicted, or by the teacher's choice and the like of what is predicted."""
        rating_BN = self.score_catalogue(state).mean
        if self.list_head is None:
            return rating_BN
        expected_BN = torch.addmm(
            self.theta["offset_N"], state["attributes_BD"], self.theta["x_NE"].mT
        )
        choice = part_of(state, CHOICE)
        return self.list_head.rank(choice, state["users_BF"], rating_BN, expected_BN)

    def serve(self) -> Server:
        """See :class:`StudentServer`."""
        rating = StudentServer(self._fold_in, self.variance_K.numpy())
        return rating if self.list_head is None else ListStudentServer(rating, self.list_head)

    def tensors(self) -> dict[str, Tensor]:
        """The weights and the variances, and under ``list.`` what the list needs."""
        own = self.theta | {"variance_K": self.variance_K}
        return own if self.list_head is None else own | named(tensors_of(self.list_head), LIST)

    def config(self) -> dict[str, Any]:
        """Nothing: tensors say everything."""
        return {}

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """See :meth:`Recommender.from_bundle`."""
        of_list = part_of(bundle.tensors, LIST)
        head = head_of(of_list) if of_list else None
        return cls(bundle.tensors, bundle.tensors["variance_K"], head)

    def _with_variance(self, state: State) -> State:
        place_B = state["count_B"].long().clamp(max=len(self.variance_K) - 1)
        return state | {"variance_B1": self.variance_K[place_B].unsqueeze(1)}

    @cached_property
    def _choosing(self) -> Choosing | None:
        return None if self.list_head is None else self.list_head.choosing()

    @cached_property
    def _fold_in(self) -> FoldIn:
        return fold_in(self.theta)

    def _squared_error(self, episodes: Episodes) -> list[float]:
        """Mean over users for each K, averaged over neighbouring K."""
        errors = []
        for k in range(episodes.support.items_BS.shape[1] + 1):
            mean_BQ = self.score(self.adapt(episodes.support.first(k)), episodes.items_BQ).mean
            errors.append(episodes.mean_over_users((mean_BQ - episodes.targets_BQ).square()))
        averaged_K = over_neighbours(torch.stack(errors)).float().clamp(min=LEAST_NOISE)
        return averaged_K.tolist()


class StudentServer(FoldInServer):
    """:class:`Student` for one user alone."""

    def __init__(self, model: FoldIn, variance_K: Floats) -> None:
        super().__init__(model)
        self._variance_K = variance_K

    def score(self, state: Known, items_Q: Ints) -> Ratings:
        """Linear scores; the variance depends on K alone."""
        variance = self._variance_K[min(state.size, len(self._variance_K) - 1)]
        return Ratings(self.mean(state, items_Q), np.full(len(items_Q), variance))


WEIGHTS = ("offset_N", "x_NE", "prior_FE", "choice_JE", "log_penalty_E", "log_damping")
"""Of the student; the map of the alignment is not one of them."""

CHOICE, LIST = "choice.", "list."
"""Prefixes in a state and in a bundle."""

BATCH = 64
"""Lessons of one update."""

PENALTY = 0.5
"""Of unit-variance components before learning, in units of the noise."""


def start(found: Components) -> Theta:
    """The teacher's components as the student's factors."""
    E = found.loadings_NE.shape[1]
    return {
        "offset_N": found.mean_N.clone(),
        "x_NE": found.loadings_NE.clone(),
        "prior_FE": found.attributes_FE.clone(),
        "choice_JE": torch.zeros(E + 2, E),
        "log_penalty_E": torch.full((E,), PENALTY).log(),
        "log_damping": torch.tensor(5.0).log(),
        "map_EE": torch.eye(E),
    }


def learn(taught: Lessons, theta: Theta, params: StudentParams, seed: int) -> Theta:
    """Adam on random lessons, the step size falling along a half cosine to zero."""
    theta = {name: value.requires_grad_() for name, value in theta.items()}
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(theta.values(), lr=params.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(params.steps, 1))
    for _ in range(params.steps):
        rows = torch.randint(len(taught.items_TQ), (BATCH,), generator=generator)
        optimiser.zero_grad()
        with torch.enable_grad():
            found = terms(theta, taught.rows(rows))
            loss = (
                params.soft * found.soft
                + params.hard * found.hard
                + params.alignment * found.alignment
            )
            loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return {name: value.detach() for name, value in theta.items()}


def terms(theta: Theta, taught: Lessons) -> Terms:
    """Mean squares: over all scored items, over rated ones, and over lessons and components."""
    weights_TE = fold_in(theta).adapt(taught.support.of_new_users())["mean_BD"]
    scores_TQ = scores(theta, weights_TE, taught.items_TQ)
    soft_TQ = (scores_TQ - taught.teacher_TQ).square()
    hard_TQ = (scores_TQ - taught.targets_TQ).square()
    return Terms(
        soft_TQ[taught.mask_TQ].mean(),
        hard_TQ[taught.rated_TQ].mean(),
        (weights_TE @ theta["map_EE"] - taught.components_TE).square().mean(),
    )


def fold_in(theta: Theta) -> FoldIn:
    """The student's model of users, differentiable."""
    x_NE, offset_N = theta["x_NE"], theta["offset_N"]
    return FoldIn(
        x_CND=x_NE.unsqueeze(0),
        offset_CN=offset_N.unsqueeze(0),
        weight_CN=torch.ones_like(offset_N).unsqueeze(0),
        precision_DD=torch.diag(theta["log_penalty_E"].exp()),
        prior_CFD=theta["prior_FE"].unsqueeze(0),
        choice_CND=choices(theta).unsqueeze(0),
        damping=theta["log_damping"].exp(),
    )


def choices(theta: Theta) -> Tensor:
    """What having chosen an item says of a user: ``[N, E]``, linear in what the item is."""
    x_NE, offset_N1 = theta["x_NE"], theta["offset_N"][:, None]
    described_NJ = torch.cat([torch.ones_like(offset_N1), offset_N1, x_NE], 1)
    return described_NJ @ theta["choice_JE"]


def scores(theta: Theta, weights_TE: Tensor, items_TQ: Tensor) -> Tensor:
    """``offset_i + x_i . w``."""
    x_TQE = theta["x_NE"][items_TQ]
    return theta["offset_N"][items_TQ] + (x_TQE @ weights_TE[..., None])[..., 0]
