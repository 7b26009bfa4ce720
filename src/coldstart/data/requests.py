"""Users as a request describes them: keys, ratings and attributes in, a support set out.

A request comes from anywhere, so every value is checked, and a message names the user's position
and the field. Keys are texts in the catalogue and may be numbers in JSON: 50, 50.0 and "50" are the
same item, and so are they where the catalogue says 50.0.

Legend: B users, S support, F user features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from coldstart.data.episodes import Support
from coldstart.data.features import UserEncoder
from coldstart.data.plain import plain
from coldstart.data.units import Unit
from coldstart.errors import DataError
from coldstart.params import Scale


class Known(NamedTuple):
    """What a request says of one user."""

    targets: dict[int, float]  # by row of the catalogue; the last rating of an item counts
    unknown: list[str]  # items that the catalogue does not hold


class Requests:
    """Reads the users of requests to one method."""

    def __init__(
        self,
        keys: Sequence[str],
        encoder: UserEncoder,
        scale: Scale | None,
        head: str,
        unit: Unit,
    ) -> None:
        """Index the catalogue.

        Args:
            keys: Of the items; row 0 is the unknown one.
            encoder: Of attributes.
            scale: Of ratings; None where the method knows likes alone.
            head: What the method predicts: a rating, or a like.
            unit: Of what it predicts.
        """
        self._row = {key: row for row, key in enumerate(keys) if row > 0}
        self._plain_row: dict[str, int] = {}
        for key, row in self._row.items():
            shared = plain(key) in self._plain_row
            self._plain_row[plain(key)] = 0 if shared else row  # 0: several are written so
        self._encoder = encoder
        self._scale = scale
        self._head = head
        self._unit = unit

    def support(self, users: Sequence[Any]) -> tuple[Support, list[list[str]]]:
        """``B`` users as a support set, and the items of each that are unknown.

        Raises:
            DataError: names the user's position and the field, item or rating at fault.
        """
        known = [self.read(user, f"user {b}") for b, user in enumerate(users)]
        features = [self._features(user, f"user {b}") for b, user in enumerate(users)]
        shape = (len(known), max((len(one.targets) for one in known), default=0))
        items_BS, targets_BS = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape)
        mask_BS = torch.zeros(shape, dtype=torch.bool)
        for b, one in enumerate(known):
            n = len(one.targets)
            items_BS[b, :n] = torch.tensor(list(one.targets), dtype=torch.int64)
            targets_BS[b, :n] = torch.tensor(list(one.targets.values()))
            mask_BS[b, :n] = True
        crossfit_B = torch.zeros(len(known), dtype=torch.int64)
        support = Support(items_BS, targets_BS, mask_BS, torch.stack(features), crossfit_B)
        return support, [one.unknown for one in known]

    def read(self, user: Any, where: str) -> Known:
        """Items and ratings of one user.

        Raises:
            DataError: as :meth:`support`.
        """
        if not isinstance(user, Mapping):
            raise DataError(f'{where}: {user!r} must be an object, such as {{"items": []}}')
        items = _list(user.get("items"), f"{where}: items")
        ratings = _list(user.get("ratings"), f"{where}: ratings")
        targets: dict[int, float] = {}
        unknown: list[str] = []
        for item, target in zip(items, self._targets(items, ratings, where), strict=True):
            key = _key(item, where)
            row = self._row.get(key) or self._plain_row.get(plain(item))
            if not row:
                unknown.append(key)
                continue
            targets.pop(row, None)
            targets[row] = target
        return Known(targets, unknown)

    def _targets(self, items: list[Any], ratings: list[Any], where: str) -> list[float]:
        if self._scale is None:
            if ratings:
                raise DataError(
                    f"{where}: ratings: leave them out, this model was learnt from data without "
                    "any; every item counts as liked"
                )
            return [self._unit.target(1.0)] * len(items)
        if len(items) != len(ratings):
            raise DataError(f"{where}: {len(items)} items but {len(ratings)} ratings; one for each")
        low, high, like = self._scale
        targets = []
        for item, rating in zip(items, ratings, strict=True):
            value = _number(rating)
            if value is None or not low <= value <= high:
                raise DataError(
                    f"{where}: rating {rating!r} of item {item!r} is not on the scale "
                    f"from {low:g} to {high:g}"
                )
            target = value if self._head == "rating" else float(value >= like)
            targets.append(self._unit.target(target))
        return targets

    def _features(self, user: Mapping[Any, Any], where: str) -> Tensor:
        attributes = user.get("user")
        if _missing(attributes):
            attributes = {}
        if not isinstance(attributes, Mapping):
            raise DataError(
                f"{where}: user: {attributes!r} must be an object of attributes, such as "
                '{"age": 25}'
            )
        try:
            return self._encoder.encode(attributes)
        except DataError as error:
            raise DataError(f"{where}: {error}") from None


def whole_number(value: Any, name: str, low: int, high: int) -> int:
    """A parameter of a request.

    Raises:
        DataError: it is no whole number between ``low`` and ``high``.
    """
    number = _number(value) if not isinstance(value, str) else None
    if number is None or not number.is_integer() or not low <= number <= high:
        raise DataError(
            f"{name}: {value!r} is not allowed: must be a whole number between {low} and {high}"
        )
    return int(number)


def _missing(value: Any) -> bool:
    """A missing field of a data frame is NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _list(values: Any, where: str) -> list[Any]:
    if _missing(values):
        return []
    if not isinstance(values, (list, tuple, np.ndarray)):
        raise DataError(f"{where}: {values!r} must be a list")
    return list(values.tolist() if isinstance(values, np.ndarray) else values)


def _key(item: Any, where: str) -> str:
    """An item's key as a text."""
    plain_number = _number(item) is not None and not isinstance(item, str)
    if not isinstance(item, str) and not plain_number:
        raise DataError(f"{where}: item {item!r} must be a text or a number")
    return item if isinstance(item, str) else plain(item)


def _number(value: Any) -> float | None:
    """A finite number, or a text of one; a truth value is none."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, np.integer, np.floating, str)
    ):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
