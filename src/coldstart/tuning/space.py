"""What is tuned: the fields of a section that declare a range with ``search``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from optuna import Trial

from coldstart.errors import ParamsError
from coldstart.params import Section

DIGITS = 3
"""Significant digits of a suggested number: what is written is exactly what was tried."""

Values = dict[str, float | int]
"""A setting: the tuned fields by name."""


class Range(NamedTuple):
    """Bounds of one field, both included."""

    low: float
    high: float
    log: bool
    integer: bool


def space_of(kind: type[Section]) -> dict[str, Range]:
    """The ranges that a section declares, in the order of its fields."""
    found = {}
    for name, field in kind.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and isinstance(declared := extra.get("tune"), dict):
            range_: Any = declared
            found[name] = Range(**range_, integer=field.annotation is int)
    return found


def present(space: Mapping[str, Range], section: Mapping[str, Any], where: str) -> Values:
    """The values of ``params.yaml``, with which a study starts.

    Raises:
        ParamsError: one lies outside its range.
    """
    for name, (low, high, _, _) in space.items():
        if not low <= section[name] <= high:
            raise ParamsError(
                f"{where}.{name}: {section[name]!r} lies outside {low:g} to {high:g}, where "
                "`coldstart tune` searches; start from a value inside"
            )
    return {name: section[name] for name in space}


def suggest(trial: Trial, space: Mapping[str, Range]) -> Values:
    """The sampler's next setting, floats rounded to ``DIGITS``."""
    values: Values = {}
    for name, (low, high, log, integer) in space.items():
        if integer:
            values[name] = trial.suggest_int(name, int(low), int(high), log=log)
        else:
            drawn = trial.suggest_float(name, low, high, log=log)
            values[name] = float(f"{drawn:.{DIGITS}g}")
    return values
