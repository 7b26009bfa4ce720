"""A method with all that it is made of, as a recipe: what is learnt again from other ratings.

What is evaluated and what ships are two bundles of one recipe, and so are champion and candidate on
the same data. A recipe is ``params.yaml`` reduced to one method: the sections of the method, of the
methods that it combines and of the backbones that they read. Seeds and what validation users chose
belong to one bundle of it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from coldstart import layout
from coldstart.algorithms import ALGORITHMS
from coldstart.algorithms import check_params as check_algorithms
from coldstart.baselines import BASELINES
from coldstart.baselines import check_params as check_baselines
from coldstart.combinations import COMBINATIONS, possible
from coldstart.combinations import check_params as check_combinations
from coldstart.data.choices import Choices
from coldstart.errors import ArtefactError
from coldstart.methods import bundle_folder
from coldstart.params import Params, parse_section

RECIPE = "recipe.json"
BACKBONE = "backbone"
"""Among the parts of what was chosen: those of backbones, by kind."""


class Recipe(BaseModel):
    """How one method is learnt from any ratings."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: str
    head: str
    sections: dict[str, dict[str, Any]]  # of params.yaml, without what the method does not read
    seed: int  # of backbones and baselines
    training_seed: int
    chosen: dict[
        str, Any
    ] = {}  # by validation users of the evaluated bundle; empty: they are asked

    @classmethod
    def of(cls, params: Params, method: str, training_seed: int) -> Self:
        """The recipe of a method of ``params``; validation users are still to be asked.

        Raises:
            ParamsError: a section is refused.
        """
        parts = _parts(params, method)
        trained = any(name not in BASELINES for name in parts)
        raw = params.model_dump(mode="json", by_alias=True)
        sections: dict[str, dict[str, Any]] = {
            "baselines": {n: raw["baselines"][n] for n in parts if n in BASELINES},
            "algorithms": {n: raw["algorithms"][n] for n in parts if n in ALGORITHMS},
            "combine": {n: raw["combine"][n] for n in parts if n in COMBINATIONS},
            "meta_train": {n: raw["meta_train"][n] for n in ("loop", "negatives") if trained},
            "pretrain": {"backbone": params.pretrain.backbone} if trained else {},
        }
        kinds = {kind for name in parts if (kind := read_by(name, params))}
        for name in (*sorted(kinds), *(("user_prior", "exposure") if kinds else ())):
            sections["pretrain"][name] = raw["pretrain"][name]
        return cls(
            method=method,
            head=params.head,
            sections=sections,
            seed=params.seed,
            training_seed=training_seed,
        )

    @classmethod
    def evaluated(cls, params: Params, method: str, fold: int, seed: int) -> Self:
        """The same with what validation users of a fold chose for the bundle that lies here.

        Raises:
            ArtefactError: a bundle of the method or of its parts is missing.
        """
        recipe = cls.of(params, method, seed)
        chosen = {
            name: Choices.load(bundle_folder(name, fold, seed)).made
            for name in _parts(params, method)
        }
        of_backbones = Choices.load(layout.fold_folder(layout.BACKBONE, fold)).made
        chosen[BACKBONE] = {
            k: v for k, v in of_backbones.items() if k in recipe.sections["pretrain"]
        }
        return recipe.model_copy(update={"chosen": chosen})

    @property
    def digest(self) -> str:
        """Identity of the recipe, whatever was drawn at random or chosen for one bundle of it."""
        content = self.model_dump(mode="json", include={"method", "head", "sections"})
        text = json.dumps(content, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def params(self, here: Params) -> Params:
        """``here`` with the recipe's sections in place of its own, and no other methods.

        Raises:
            ParamsError: the present code refuses a section, which it names.
        """
        raw, own = here.model_dump(mode="json", by_alias=True), self.sections
        raw |= {"seed": self.seed, "baselines": own["baselines"], "combine": own["combine"]}
        raw["algorithms"] |= own["algorithms"]
        raw["pretrain"] |= own["pretrain"]
        raw["meta_train"] |= own["meta_train"] | {"seeds": [self.training_seed]}
        if own["algorithms"]:
            raw["meta_train"]["algorithms"] = list(own["algorithms"])
        params = parse_section(Params, raw, f"recipe of {self.method}")
        for check in (check_baselines, check_algorithms, check_combinations):
            check(params)
        return params

    def save(self, folder: Path) -> None:
        """Write as JSON, in which every float is exact."""
        (folder / RECIPE).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The inverse of :meth:`save`.

        Raises:
            ArtefactError: there is none, or it was written by other code.
        """
        try:
            return cls.model_validate_json((folder / RECIPE).read_bytes())
        except (OSError, ValidationError) as error:
            raise ArtefactError(f"{folder / RECIPE}: is not a recipe: {error}") from error


def _parts(params: Params, method: str) -> tuple[str, ...]:
    """The method and all that it is made of, each after its own parts."""
    made_of, found = possible(params), dict[str, None]()

    def visit(name: str) -> None:
        for one in made_of.get(name, ()):
            visit(one)
        found[name] = None

    visit(method)
    return tuple(found)


def read_by(name: str, params: Params) -> str | None:
    """The backbone that a method reads; None: a baseline that reads none."""
    return BASELINES[name].reads if name in BASELINES else params.pretrain.backbone
