"""The champion as the gate meets it: what it serves, its recipe, whom it knows, how it did."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor

from coldstart.evaluation.turned import Turned
from coldstart.recipe import RECIPE, Recipe
from coldstart.registry import packaging
from coldstart.registry.decision import Decision, Incumbent
from coldstart.registry.promotion import METHOD, SHA256, Version
from coldstart.registry.promotion import RECIPE as RECIPE_TAG
from coldstart.served import USERS, Served


@dataclass(frozen=True)
class Champion:
    """A version that was registered with its recipe."""

    version: Version
    served: Served
    recipe: Recipe
    known_U: Tensor  # int64, ascending: marks of the users that it learnt from
    turned: Turned | None  # by its proof, of its cold users; None: it predicts no rating

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.recipe.method} v{self.version.version}"


def load(version: Version) -> Champion | str:
    """Fetch it; or why it cannot be compared with, in a sentence.

    Versions were registered without their recipe once, and bundles change with the code.

    Raises:
        ArtefactError: the registry has lost it, or what it kept was altered.
    """
    name = f"{version.tags.get(METHOD, 'the champion')} v{version.version}"
    with tempfile.TemporaryDirectory() as scratch:
        folder = packaging.download(version, Path(scratch))
        if not (folder / RECIPE).exists():
            return f"{name} was registered without its recipe, so it cannot be learnt on this data"
        try:
            decision = Decision.model_validate_json((folder / packaging.DECISION).read_bytes())
            turned = decision.evidence["turned"]
            known_U = load_file(folder / USERS)["known_U"]
            return Champion(
                version,
                Served.load(folder),
                Recipe.load(folder),
                known_U,
                None if turned is None else Turned(*turned),
            )
        except (KeyError, TypeError, ValidationError) as error:
            return f"{name} was registered by other code, which this cannot read ({error})"


def incumbent(version: Version | None) -> Incumbent | None:
    """What a decision says of it."""
    if version is None:
        return None
    return Incumbent(
        version=version.version,
        method=version.tags.get(METHOD, "unknown"),
        recipe=version.tags.get(RECIPE_TAG, ""),
        sha256=version.tags.get(SHA256, ""),
    )
