"""Combinations: methods that are made from other methods which were fitted in the same run."""

from __future__ import annotations

from coldstart.algorithms import ALGORITHMS
from coldstart.baselines import BASELINES
from coldstart.combinations.average import Average
from coldstart.combinations.base import Combination
from coldstart.combinations.blend import Blend
from coldstart.combinations.list import List
from coldstart.combinations.student import Student
from coldstart.errors import ParamsError
from coldstart.params import Params, Section, parse_section

COMBINATIONS: dict[str, type[Combination]] = {
    "average": Average,
    "blend": Blend,
    "list": List,
    "student": Student,
}
"""By the name of their section in ``params.yaml``; a later one may be made from an earlier one."""


def check_params(params: Params) -> dict[str, Section]:
    """The checked section of each combination that ``params.yaml`` asks for, in our order.

    Raises:
        ParamsError: an unknown combination, key or ingredient, or a value out of range.
    """
    for name in params.combine:
        if name not in COMBINATIONS:
            raise ParamsError(
                f"combine.{name}: unknown combination; allowed here: {', '.join(COMBINATIONS)}"
            )
    sections: dict[str, Section] = {}
    known = [*BASELINES, *ALGORITHMS]
    for name, kind in COMBINATIONS.items():
        if name in params.combine:
            sections[name] = parse_section(kind.Params, params.combine[name], f"combine.{name}")
            for wanted in kind.wanted(sections[name]):
                if wanted not in known:
                    raise ParamsError(
                        f"combine.{name}: {wanted!r} is no method that it can be made from; "
                        f"allowed: {', '.join(known)}"
                    )
        known.append(name)
    return sections


def possible(params: Params) -> dict[str, tuple[str, ...]]:
    """The combinations that a run can make, and what of: it may have trained less than they want.

    Follows from the params alone, so every stage knows the same ones.

    Raises:
        ParamsError: as :func:`check_params`.
    """
    fitted = {*params.baselines, *params.meta_train.algorithms}
    found: dict[str, tuple[str, ...]] = {}
    for name, section in check_params(params).items():
        kind = COMBINATIONS[name]
        here = tuple(method for method in kind.wanted(section) if method in fitted)
        if len(here) >= kind.least:
            found[name] = here
            fitted.add(name)
    return found
