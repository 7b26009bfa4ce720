"""What all combinations share: what they are made from, and how.

Legend of the package: B users, S support, Q query, K support sizes, M members, N items, E factors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from coldstart.data.choices import Choices
from coldstart.data.episodes import Episodes, History
from coldstart.models.backbone import Backbone
from coldstart.models.recommender import Recommender
from coldstart.params import Params, Section
from coldstart.training.fold import training_episodes
from coldstart.training.listing import Lists
from coldstart.training.loop import Sampler


@dataclass(frozen=True)
class Ingredients:
    """Of one history and training seed."""

    methods: Mapping[str, Recommender]  # in the order in which the section names them
    history: History
    validation: Choices  # what is fitted on validation users goes through `choose`
    backbone: Backbone  # with its cross-fitted tables, which bundles of methods lack
    params: Params
    seed: int

    def lists(self, users: Episodes) -> Lists:
        """How good lists are for the validation users who are asked, by their spare ratings.

        What evaluation reads of the same users is left out of the lists.
        """
        judged_BX = self.validation.judged_BX
        assert judged_BX is not None, "lists are asked for without what evaluation reads"
        return Lists(users, judged_BX, self.history.like, self.params.prepare.shots)

    def episodes(self) -> Sampler:
        """Training episodes of the historical users, as in meta-training."""
        generator = torch.Generator().manual_seed(self.seed)
        return training_episodes(self.params, self.history, self.backbone.group_U, generator)


class Combination(ABC):
    """A recipe: from methods to a method, which evaluation and serving take like any other."""

    Params: ClassVar[type[Section]]
    """The combination's section of ``params.yaml``, ``combine.NAME``."""
    least: ClassVar[int]
    """With fewer ingredients than this it is left out."""

    @staticmethod
    @abstractmethod
    def wanted(section: Any) -> tuple[str, ...]:
        """Methods that it is made from, by name; an instance of ``Params`` says which."""

    @classmethod
    @abstractmethod
    def make(cls, section: Any, ingredients: Ingredients) -> Recommender:
        """Make it; the same ingredients give the same bytes."""
