"""What validation users choose while a method is fitted: asked once, then remembered.

A factor of the noise, a number of steps, weights of members: a proof bundle is fitted on historical
users and asks validation users for them. What ships is learnt from everybody, so nobody is left to
ask: it takes over what was chosen. Methods need not know which of the two is happening::

    scale = choose(validation, "scale", lambda episodes: best_scale(episodes))
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from coldstart.data.episodes import Episodes
from coldstart.errors import ArtefactError

CHOSEN = "chosen.json"
"""Beside a bundle: what was chosen in fitting it."""

Value = TypeVar("Value", bound="int | float | list[Any]")


@dataclass(frozen=True)
class Choices:
    """Choices by name, as JSON values; parts of a method have choices of their own."""

    validation: Episodes | None = None  # None: nobody is asked
    made: dict[str, Any] = field(default_factory=dict)
    judged_BX: Tensor | None = None
    """int64, 0 where padded: items of the validation users that evaluation reads, which lists by
    which something is chosen leave out; None: no lists can be measured."""

    def choose(self, name: str, how: Callable[[Episodes], Value]) -> Value:
        """Ask validation users, or repeat what they said.

        Raises:
            ArtefactError: nobody is to be asked, and nothing of this name was chosen before.
        """
        if self.validation is not None:
            self.made[name] = how(self.validation)
        elif name not in self.made:
            raise ArtefactError(
                f"{CHOSEN}: {name!r} was not chosen when this was evaluated, only "
                f"{', '.join(self.made) or 'nothing'}; run `dvc repro` with the present code"
            )
        value: Value = self.made[name]
        return value

    def part(self, name: str) -> Choices:
        """Those of a part; whoever is asked is the same."""
        return Choices(self.validation, self.made.setdefault(name, {}), self.judged_BX)

    def save(self, folder: Path) -> None:
        """Write what was chosen as JSON, in which every float is exact."""
        text = json.dumps(self.made, sort_keys=True, allow_nan=False)
        (folder / CHOSEN).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Choices:
        """What was chosen in fitting the bundle of ``folder``; nobody is asked any more.

        Raises:
            ArtefactError: it is not there or not readable.
        """
        try:
            made = json.loads((folder / CHOSEN).read_bytes())
        except (OSError, ValueError) as error:
            raise ArtefactError(f"{folder / CHOSEN}: {error}; run `dvc repro`") from error
        return cls(None, dict(made))


Chooser = Episodes | Choices
"""Validation users, or choices that they made or make."""


def choose(validation: Chooser, name: str, how: Callable[[Episodes], Value]) -> Value:
    """What validation users choose by ``how``, kept under ``name`` if choices are kept."""
    if isinstance(validation, Choices):
        return validation.choose(name, how)
    return how(validation)


def part(validation: Chooser, name: str) -> Chooser:
    """Choices of a part, see :meth:`Choices.part`."""
    return validation.part(name) if isinstance(validation, Choices) else validation
