"""Side information as numbers: attributes of users; genres, year and knowledge graph of items.

No rating is read here. Every column is centred, so that zeros mean "nothing is known" and a user
or item without the information is treated as the average one. Legend: U users, F user features,
N items with the unknown one (row 0, all zeros), G item features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from coldstart.data.plain import plain, plain_texts
from coldstart.errors import DataError

MAX_CATEGORIES = 50
MIN_USERS = 5
BANDS = 5
POSTCODES = ("zip", "zip_code", "zipcode", "postcode", "postal_code")

NOT_USED = "prepare.features has no attributes"

Floats = NDArray[np.float32]


class _Column(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    shares: tuple[float, ...]  # of the users it was fitted on, per indicator


class CategoryColumn(_Column):
    """One indicator per value; of a postcode only the first ``length`` characters count."""

    kind: Literal["category"] = "category"
    values: tuple[str, ...]
    length: int | None = None

    @property
    def labels(self) -> list[str]:
        """A name for each indicator."""
        return [f"{self.name}={value}" for value in self.values]

    def codes(self, raw: pd.Series) -> NDArray[np.int64]:
        """The indicator of each value; -1 where it is unknown or too rare."""
        text = plain_texts(raw).str.slice(0, self.length)
        return pd.Index(self.values, dtype="str").get_indexer(pd.Index(text))


class BandColumn(_Column):
    """One indicator per band between quantiles of a number."""

    kind: Literal["band"] = "band"
    edges: tuple[float, ...]

    @property
    def labels(self) -> list[str]:
        """A name for each indicator."""
        bounds = [f"{edge:g}" for edge in self.edges]
        return [
            f"{self.name} < {bounds[0]}",
            *(f"{self.name} {a} to < {b}" for a, b in pairwise(bounds)),
            f"{self.name} >= {bounds[-1]}",
        ]

    def codes(self, raw: pd.Series) -> NDArray[np.int64]:
        """The band of each value; -1 where it is missing or not a number."""
        numbers = pd.to_numeric(raw, errors="coerce").to_numpy(dtype="float64")
        bands = np.searchsorted(np.array(self.edges), numbers, side="right")
        return np.where(np.isfinite(numbers), bands, -1)


Column = Annotated[CategoryColumn | BandColumn, Field(discriminator="kind")]


class UserEncoder(BaseModel):
    """Raw attributes of users -> features; a JSON document (``encoder.json``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    columns: tuple[Column, ...]
    dropped: dict[str, str]  # column -> why it gives no feature

    @property
    def labels(self) -> list[str]:
        """A name for each of the F features."""
        return [label for column in self.columns for label in column.labels]

    def encode(self, attributes: Mapping[str, Any]) -> Tensor:
        """Features ``[F]`` of one user; what is missing, empty or unknown counts as average.

        Raises:
            DataError: an attribute that the training data does not have, or a number that is none.
        """
        known = [column.name for column in self.columns] + list(self.dropped)
        for name, value in attributes.items():
            if name not in known:
                raise DataError(f"user attribute {name!r}: unknown; known: {', '.join(known)}")
            if value is not None and not isinstance(value, (str, int, float)):
                raise DataError(f"user attribute {name!r}: {value!r} must be a text or a number")
        row = {c.name: plain(attributes.get(c.name)) for c in self.columns}
        for column in self.columns:
            value = row[column.name]
            if isinstance(column, BandColumn) and value and not _is_number(value):
                raise DataError(f"user attribute {column.name!r}: {value!r} is not a number")
        return torch.from_numpy(self.encode_table(pd.DataFrame([row], dtype="str")))[0]

    def encode_table(self, table: pd.DataFrame) -> Floats:
        """Features ``[U, F]`` of a table that has every column of the encoder."""
        blocks = [_indicators(column, table[column.name]) for column in self.columns]
        return np.hstack([np.zeros((len(table), 0), dtype=np.float32), *blocks])


def _is_number(value: str) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


def _indicators(column: CategoryColumn | BandColumn, raw: pd.Series) -> Floats:
    codes = column.codes(raw)
    known = codes >= 0
    block = np.zeros((len(codes), len(column.shares)), dtype=np.float32)
    block[known] = -np.array(column.shares, dtype=np.float32)
    block[np.flatnonzero(known), codes[known]] += 1
    return block


def fit_user_encoder(attributes: pd.DataFrame, *, used: bool = True) -> UserEncoder:
    """Choose an encoding for each attribute column from the users known at training time.

    A column of numbers becomes quantile bands, one of few values indicators, a postcode its first
    character. What is left, free text or near-unique values, identifies people more than it says
    about their taste: it is dropped, with a note. So is every column if none is to be ``used``.
    """
    columns: list[CategoryColumn | BandColumn] = []
    dropped: dict[str, str] = {}
    for name in attributes.columns:
        fitted = _fit_column(str(name), attributes[name]) if used else NOT_USED
        if isinstance(fitted, str):
            dropped[str(name)] = fitted
        else:
            columns.append(fitted)
    return UserEncoder(columns=tuple(columns), dropped=dropped)


def _fit_column(name: str, raw: pd.Series) -> CategoryColumn | BandColumn | str:
    if is_numeric(raw):
        numbers = pd.to_numeric(raw, errors="coerce").dropna()
        if numbers.nunique() > BANDS:
            inner = np.linspace(0, 1, BANDS + 1)[1:-1]
            edges = sorted(set(np.quantile(numbers, inner, method="higher").tolist()))
            return _with_shares(BandColumn(name=name, shares=(), edges=tuple(edges)), raw)
    text = plain_texts(raw)
    text = text[text != ""]
    length = 1 if name.lower() in POSTCODES else None
    counts = text.str.slice(0, length).value_counts()
    if len(counts) > MAX_CATEGORIES:
        return f"{len(counts)} different values; at most {MAX_CATEGORIES} become features"
    values = tuple(sorted(counts.index[counts >= MIN_USERS]))
    if len(values) < 2:
        return f"fewer than two values that {MIN_USERS} users share"
    return _with_shares(CategoryColumn(name=name, shares=(), values=values, length=length), raw)


def _with_shares(
    column: CategoryColumn | BandColumn, raw: pd.Series
) -> CategoryColumn | BandColumn:
    codes = column.codes(raw)
    counts = np.bincount(codes[codes >= 0], minlength=len(column.labels))
    return column.model_copy(update={"shares": tuple((counts / counts.sum()).tolist())})


def is_numeric(raw: pd.Series) -> bool:
    """Whether nearly all values are numbers written as numbers (so no postcode ``02139``)."""
    if raw.dtype.kind == "f":
        return True
    text = raw[raw != ""]
    plain = text.str.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?")
    return len(text) > 0 and float(plain.mean()) >= 0.99
