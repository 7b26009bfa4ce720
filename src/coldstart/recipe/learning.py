"""Learn a recipe from one set of ratings: its backbones, its members, then the method itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

import coldstart
from coldstart import environment
from coldstart.algorithms import ALGORITHMS
from coldstart.algorithms import check_params as check_algorithms
from coldstart.baselines import BASELINES
from coldstart.baselines import check_params as check_baselines
from coldstart.combinations import COMBINATIONS, possible
from coldstart.combinations import check_params as check_combinations
from coldstart.combinations.base import Ingredients
from coldstart.data.choices import Choices
from coldstart.data.episodes import History
from coldstart.models.backbone import Backbone
from coldstart.models.backbones import fit_backbone
from coldstart.models.heads import HEADS
from coldstart.models.recommender import Recommender
from coldstart.params import Params
from coldstart.recipe.recipe import BACKBONE, Recipe, read_by
from coldstart.training.checkpoint import Checkpoints, digest
from coldstart.training.device import usable
from coldstart.training.fold import train
from coldstart.training.interrupt import on_sigterm


class Learning:
    """One recipe on one history: backbones and methods, each learnt when it is first asked for."""

    def __init__(self, recipe: Recipe, here: Params, history: History, choices: Choices) -> None:
        """Check the recipe; nothing is learnt yet.

        Args:
            recipe: what to learn.
            here: everything that is not the recipe's, such as shots and the device.
            history: what to learn from.
            choices: validation users to ask, or what was chosen before.

        Raises:
            ParamsError: the present code refuses a section of the recipe.
        """
        self.recipe, self.params = recipe, recipe.params(here)
        self.history, self.choices = history, choices
        self._checkpoints = environment.home() / "checkpoints" / self._key()
        self._backbones: dict[str, Backbone] = {}
        self._methods: dict[str, Recommender] = {}
        self._sections: dict[str, Any] = {
            **check_baselines(self.params),
            **check_algorithms(self.params),
            **check_combinations(self.params),
        }

    def learn(self) -> Recommender:
        """The method of the recipe.

        Raises:
            TrainingDiverged: a loss or gradient is not finite.
        """
        learnt = self.method(self.recipe.method)
        Checkpoints(self._checkpoints).clear()
        return learnt

    def method(self, name: str) -> Recommender:
        """A method that the recipe is made of."""
        if name not in self._methods:
            if name in BASELINES:
                self._methods[name] = self._baseline(name)
            elif name in ALGORITHMS:
                self._methods[name] = self._train(name)
            else:
                self._methods[name] = self._combine(name)
        return self._methods[name]

    def backbone(self, kind: str) -> Backbone:
        """A backbone that it reads."""
        if kind not in self._backbones:
            choices, params = self.choices.part(BACKBONE).part(kind), self.params
            self._backbones[kind] = fit_backbone(
                kind, self.history, choices, params.pretrain, params.seed
            )
        return self._backbones[kind]

    def _key(self) -> str:
        """Digest of all that the result depends on."""
        ratings = hashlib.sha256()
        for tensor in (t for t in self.history if isinstance(t, Tensor)):
            ratings.update(tensor.numpy().tobytes())
        used = {
            "recipe": self.recipe.model_dump(mode="json"),
            "asked": self.choices.validation is not None,
            "params": self.params.model_dump(mode="json", include={"threads", "device", "prepare"}),
            "ratings": ratings.hexdigest(),
        }
        package = Path(coldstart.__file__).parent
        code = [package / name for name in ("data", "models", "algorithms", "training", "recipe")]
        return digest(used, code)

    @property
    def _start(self) -> Backbone:
        return self.backbone(self.params.pretrain.backbone)

    def _baseline(self, name: str) -> Recommender:
        kind = read_by(name, self.params)
        backbone = self._start if kind is None else self.backbone(kind)
        choices, section = self.choices.part(name), self._sections[name]
        return BASELINES[name].fit(self.history, backbone, choices, section, self.params.seed)

    def _train(self, name: str) -> Recommender:
        params, seed = self.params, self.recipe.training_seed
        head, section = HEADS[params.head], self._sections[name]
        start = ALGORITHMS[name].create(self._start, section, head, seed).to(usable(params.device))
        checkpoints = Checkpoints(self._checkpoints / name)
        choices = self.choices.part(name)
        with on_sigterm() as interrupt:
            trained = train(
                start, params, self.history, choices, seed, checkpoints, interrupt, "recipe"
            )
        return trained.learner.to("cpu")

    def _combine(self, name: str) -> Recommender:
        ingredients = Ingredients(
            methods=_AsNeeded(self, possible(self.params)[name]),
            history=self.history,
            validation=self.choices.part(name),
            backbone=self._start,
            params=self.params,
            seed=self.recipe.training_seed,
        )
        return COMBINATIONS[name].make(self._sections[name], ingredients)


class _AsNeeded(Mapping[str, Recommender]):
    """Members by name: one that turned out to be of no use is not learnt again."""

    def __init__(self, learning: Learning, names: tuple[str, ...]) -> None:
        self._learning, self._names = learning, names

    def __getitem__(self, name: str) -> Recommender:
        if name not in self._names:
            raise KeyError(name)
        return self._learning.method(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
