"""``list``: one champion for all that a newcomer gets, the list of ten, ratings and intervals.

The catalogue is ranked by a stack of closed-form rankers (:mod:`_list_signals`), weighted by the
number of ratings K (:mod:`_list_weights`, learnt from historical users who have been left out of
what ranks for them). Ratings and their variances are those of another method, as they are: it
adapts when a rating is asked for, so a list alone costs a list alone.

Its model of exposure is not the backbone's: for a list of few items the busiest users count more
(a smaller ``activity``), and more factors pay.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch
from pydantic import Field, field_validator
from torch import Tensor

from coldstart.algorithms import ALGORITHMS
from coldstart.baselines import BASELINES
from coldstart.combinations._list_lessons import lessons
from coldstart.combinations._list_server import ListServer
from coldstart.combinations._list_signals import Company, Signals
from coldstart.combinations._list_size import smallest_good
from coldstart.combinations._list_strangers import Crowd, Strangers
from coldstart.combinations._list_weights import weights_by_shots
from coldstart.combinations.base import Combination, Ingredients
from coldstart.combinations.blend import Blend
from coldstart.data.choices import choose
from coldstart.data.episodes import Episodes, Support
from coldstart.models.backbone import Backbone
from coldstart.models.bundle import Bundle
from coldstart.models.exposure import with_exposure
from coldstart.models.recommender import Prediction, Recommender, State, kept, named, part_of
from coldstart.models.server import Server
from coldstart.params import ChoiceParams, ExposureParams, Section, search

SIGNALS, RATING, BACKBONE, STRANGERS = "signals.", "rating.", "backbone.", "strangers."


class ListParams(Section):
    """Whose ratings are predicted, and the signals of the ranking."""

    rating: str = Field(description="The method whose ratings and variances it predicts.")
    exposure: ChoiceParams = Field(description="The list's own model of what people choose.")
    factors: tuple[int, ...] = Field(
        min_length=1,
        strict=False,
        description="Dimensions of that model, ascending: the smallest is taken whose lists "
        "validation users cannot tell from the best.",
    )
    below: float = Field(
        ge=0,
        le=1,
        json_schema_extra=search(0, 1),
        description="Weight in company of a rating that is no like; a like has 1.",
    )
    penalty: float = Field(
        gt=0,
        json_schema_extra=search(50, 5000, log=True),
        description="Of company: imagined users of each item who chose nothing else.",
    )
    held: float = Field(
        gt=0,
        json_schema_extra=search(20, 1000, log=True),
        description="Of strangers: imagined users with an attribute who like what everybody does.",
    )
    max_items: int = Field(
        ge=1,
        description="Most rated items that have company, a matrix of that size, and attributes.",
    )
    draws: int = Field(ge=1, le=100, description="Lessons of each historical user.")
    shrinkage: float = Field(
        gt=0,
        json_schema_extra=search(1e-3, 1, log=True),
        description="Penalty of how far the weights of the signals depart from choice times like.",
    )

    @field_validator("factors")
    @classmethod
    def _ascending(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if list(sizes) != sorted(set(sizes)) or sizes[0] < 1:
            raise ValueError("must be positive and ascend")
        return sizes


class List(Combination, Recommender):
    """The stack, and the method that rates; the last row of the weights serves all larger K."""

    kind: ClassVar[str] = "list"
    Params: ClassVar[type[Section]] = ListParams
    least: ClassVar[int] = 1

    def __init__(self, rating: Recommender, signals: Signals, weights_KJ: Tensor) -> None:
        self.rating = rating
        self.signals = signals
        self.weights_KJ = weights_KJ
        self.exact_update = rating.exact_update
        self.n_items = signals.n_items

    @staticmethod
    def wanted(section: ListParams) -> tuple[str, ...]:
        """The method that rates."""
        return (section.rating,)

    @classmethod
    def make(cls, section: ListParams, ingredients: Ingredients) -> Self:
        """Fit the signals on the historical users, then what they count."""
        history, seed = ingredients.history, ingredients.seed
        company = Company.fit(history, section.below, section.penalty, section.max_items)
        crowd = Crowd.fit(history, company.items_M, section.held)

        def signals_of(backbone: Backbone, size: int) -> Signals:
            params = ExposureParams(factors=size, **section.exposure.model_dump())
            return Signals(
                with_exposure(backbone, history, params, seed),
                company.items_M,
                company.weights,
                torch.tensor(section.below),
                crowd.strangers,
            )

        def size_of(users: Episodes) -> int:
            rating, start_KJ = ingredients.methods[section.rating], torch.tensor([[1.0, 0.0]])
            own = ingredients.backbone
            served = Backbone(own.kind, **own.serving() | {"group_U": own.group_U})

            def start(size: int) -> List:
                return cls(rating, signals_of(served, size), start_KJ)

            return smallest_good(section.factors, start, ingredients.lists(users))

        size = choose(ingredients.validation, "factors", size_of)
        signals = signals_of(ingredients.backbone, size)
        asked = ingredients.params.prepare
        learnt_from = lessons(
            signals,
            company,
            crowd,
            history,
            draws=section.draws,
            max_support=max(asked.shots),
            least=asked.min_ratings,
            seed=seed,
        )
        weights_KJ = weights_by_shots(learnt_from, section.shrinkage, max(asked.shots))
        made = cls(ingredients.methods[section.rating], signals, weights_KJ)
        return cls.from_bundle(made.to_bundle())  # without the tables of historical users

    def adapt(self, support: Support) -> State:
        """What the signals read, and the support for the method that rates."""
        support = support.of_new_users()
        with torch.no_grad():
            known = self.signals.adapt(support)
        count_B = support.mask_BS.sum(1).clamp(max=len(self.weights_KJ) - 1)
        return kept(support) | named(known, SIGNALS) | {"weights_BJ": self.weights_KJ[count_B]}

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """What the method that rates predicts after the same ratings."""
        return self.rating.score(self._rated(state), items_BQ)

    def score_catalogue(self, state: State) -> Prediction:
        """As :meth:`score`."""
        return self.rating.score_catalogue(self._rated(state))

    def rank_catalogue(self, state: State) -> Tensor:
        """``choice + (1 + a_K) like + c_K company``."""
        with torch.no_grad():
            choice_BN, like_BN, company_BN = self.signals.catalogue(part_of(state, SIGNALS))
            weights_BJ = state["weights_BJ"]
            ranked_BN = choice_BN + weights_BJ[:, :1] * like_BN
            return ranked_BN + weights_BJ[:, 1:] * company_BN

    def serve(self) -> Server:
        """See :class:`ListServer`."""
        with torch.inference_mode(False), torch.no_grad():
            return ListServer(self.rating.serve(), self.signals, self.weights_KJ)

    def tensors(self) -> dict[str, Tensor]:
        """The signals' and the weights, and those of the method that rates under ``rating.``."""
        own = {
            "company_MM": self.signals.company_MM,
            "below": self.signals.below,
            "weights_KJ": self.weights_KJ,
        } | named(self.signals.strangers._asdict(), STRANGERS)
        # a file of tensors may not hold one twice, and both may share the backbone's
        parts = named(self.signals.backbone.serving(), BACKBONE)
        parts |= named(self.rating.tensors(), RATING)
        return own | {name: value.clone() for name, value in parts.items()}

    def config(self) -> dict[str, Any]:
        """Kind of the backbone; kind and own configuration of the method that rates."""
        return {
            "backbone": self.signals.backbone.kind,
            "rating": {"kind": self.rating.kind, "config": self.rating.config()},
        }

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """See :meth:`Recommender.from_bundle`."""
        kinds: dict[str, Any] = BASELINES | ALGORITHMS | {Blend.kind: Blend}
        member, tensors = bundle.config["rating"], bundle.tensors
        rated = Bundle(member["kind"], member["config"], part_of(tensors, RATING))
        backbone = Backbone(kind=bundle.config["backbone"], **part_of(tensors, BACKBONE))
        strangers = Strangers(**part_of(tensors, STRANGERS))
        signals = Signals(
            backbone, strangers.items_M, tensors["company_MM"], tensors["below"], strangers
        )
        return cls(kinds[member["kind"]].from_bundle(rated), signals, tensors["weights_KJ"])

    def _rated(self, state: State) -> State:
        items_BS = state["items_BS"]
        support = Support(
            items_BS=items_BS,
            targets_BS=state["targets_BS"],
            mask_BS=state["mask_BS"],
            users_BF=state["users_BF"],
            crossfit_B=items_BS.new_zeros(len(items_BS)),
        )
        return self.rating.adapt(support)
