"""What every section of ``params.yaml`` is, and what it may say of its fields."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Seed = Annotated[int, Field(ge=0, le=127)]


Share = Annotated[float, Field(gt=0, lt=1)]


class Section(BaseModel):
    """A part of ``params.yaml``: frozen, finite, strict about types, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def search(low: float, high: float, *, log: bool = False) -> dict[str, JsonValue]:
    """Let ``coldstart tune`` choose a field between two values, both included.

    For ``json_schema_extra`` of a ``Field``; a field without it is not tuned.

    Args:
        low: The lowest value.
        high: The highest.
        log: Whether a ratio counts rather than a difference; not with a range that holds 0.
    """
    return {"tune": {"low": low, "high": high, "log": log}}
