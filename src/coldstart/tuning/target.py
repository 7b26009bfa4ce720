"""Which section of ``params.yaml`` a name on the command line means."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from coldstart.algorithms import ALGORITHMS
from coldstart.baselines import BASELINES
from coldstart.combinations import COMBINATIONS
from coldstart.errors import ParamsError
from coldstart.params import Params, Section, TunedGroup, parse_section
from coldstart.tuning.space import Range, Values, present, space_of

BACKBONE = "backbone"
"""The name that means the chosen section of ``pretrain``."""


@dataclass(frozen=True)
class Target:
    """A section, its owner's declaration and its present values."""

    group: TunedGroup
    name: str
    kind: type[Section]
    section: dict[str, Any]

    @property
    def where(self) -> str:
        """Its dotted key."""
        return f"{self.group}.{self.name}"

    @cached_property
    def space(self) -> dict[str, Range]:
        """What is tuned of it."""
        return space_of(self.kind)

    @property
    def start(self) -> Values:
        """The present setting.

        Raises:
            ParamsError: a value lies outside the range that is searched.
        """
        return present(self.space, self.section, self.where)

    def at(self, values: Values) -> Section:
        """The section with other values.

        Raises:
            ParamsError: its owner refuses them.
        """
        return parse_section(self.kind, self.section | values, self.where)


def find_target(name: str, params: Params) -> Target:
    """The section of a baseline, algorithm, combination or, for ``backbone``, the chosen backbone.

    Raises:
        ParamsError: there is no such section, it is refused, or none of its fields is tuned.
    """
    if name == BACKBONE:
        chosen = getattr(params.pretrain, params.pretrain.backbone)
        raw = chosen.model_dump(mode="json")
        target = Target("pretrain", params.pretrain.backbone, type(chosen), raw)
    elif name in BASELINES and name in params.baselines:
        target = Target("baselines", name, BASELINES[name].Params, params.baselines[name])
    elif name in ALGORITHMS and name in params.algorithms:
        target = Target("algorithms", name, ALGORITHMS[name].Params, params.algorithms[name])
    elif name in COMBINATIONS and name in params.combine:
        target = Target("combine", name, COMBINATIONS[name].Params, params.combine[name])
    else:
        known = ", ".join([BACKBONE, *params.baselines, *params.algorithms, *params.combine])
        raise ParamsError(f"{name}: not a section of params.yaml that can be tuned: {known}")
    parse_section(target.kind, target.section, target.where)
    if not target.space:
        raise ParamsError(f"{target.where}: none of its fields declares a range to search")
    return target
