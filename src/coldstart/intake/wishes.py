"""What a person says about a delivery; what is None or absent is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from coldstart.errors import ParamsError


@dataclass(frozen=True)
class Reading:
    """How text files are written."""

    separator: str | None = None  # itself or its name
    encoding: str | None = None  # of Python's codecs
    header: bool | None = None
    quotes: bool | None = None


@dataclass(frozen=True)
class Wishes:
    """Everything.

    Raises:
        ParamsError: a decimal sign that is none.
    """

    columns: Mapping[str, str] = field(default_factory=dict)  # role -> name, number or "none"
    items_key: str | None = None  # the item's column in the table of items
    users_key: str | None = None
    reading: Reading = field(default_factory=Reading)
    decimal: str | None = None
    time: str | None = None  # a unit, or a format as of strptime
    max_aside: float = 0.1  # largest share of a table's rows that may be set aside
    replace: bool = False  # other data of the same name

    def __post_init__(self) -> None:
        if self.decimal not in (None, ",", "."):
            raise ParamsError(f"--decimal {self.decimal}: is ',' or '.'")
