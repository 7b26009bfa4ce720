"""The keys of ``params.yaml`` that a dataset asks for."""

from __future__ import annotations

from typing import Any

import numpy as np

from coldstart.intake.facts import Facts
from coldstart.intake.fetch import IMPORTED
from coldstart.intake.kinds import strengths_of

# min_ratings, query_size, shots: the longest that enough users reach is taken
_PROTOCOLS = (
    (30, 10, [0, 1, 3, 5, 10, 20]),
    (20, 10, [0, 1, 3, 5, 10]),
    (15, 5, [0, 1, 3, 5, 10]),
    (10, 5, [0, 1, 3, 5]),
    (6, 3, [0, 1, 3]),
    (3, 2, [0, 1]),
    (2, 1, [0, 1]),
)
_SHARE, _ENOUGH = 1 / 3, 2_000  # of the users, or so many of them, are enough
_CHOOSING = 72  # validation users with enough ratings: with 26, chance chose among methods
_MOST_ROWS = 1_000  # that validate.min_ratings asks for, where there are as many
_SCALES = ((1.0, 5.0), (0.5, 5.0), (0.0, 5.0), (1.0, 10.0), (0.0, 10.0), (0.0, 100.0))
_LIKED = 0.75  # of the way from the lowest to the highest rating


def advice(name: str, facts: Facts) -> dict[str, Any]:
    """Key -> value, for what depends on the data.

    The scale is the usual one that the ratings fill to its top, else what they span; an item is
    liked from the first level on that lies three quarters up the scale, 4 of 1 to 5. Ratings that
    are all equal say no more than none.
    """
    histories = facts.histories()
    reach = {p[0]: int((histories >= p[0]).sum()) for p in _PROTOCOLS}
    least, query, shots = next(
        (p for p in _PROTOCOLS if reach[p[0]] >= min(_SHARE * len(histories), _ENOUGH)),
        _PROTOCOLS[-1],
    )
    keys: dict[str, Any] = {"data.name": name, "data.source": IMPORTED, "data.seq_separator": None}
    keys |= _scale(facts)
    keys |= {
        "validate.min_ratings": min(_MOST_ROWS, facts.rows // 2 or 1),
        "validate.max_duplicate_share": _share_above(facts.repeats() / facts.rows, 0.05),
        "validate.max_unknown_items": _share_above(facts.undescribed.get("items", 0.0), 0.3),
        "validate.max_unknown_users": _share_above(facts.undescribed.get("users", 0.0), 0.3),
        "prepare.min_ratings": least,
        "prepare.query_size": query,
        "prepare.shots": shots,
        "prepare.validation_share": _validation_share(reach[least]),
    }
    if not facts.rated:
        keys |= {"goal": "list", "head": "ranking", "meta_train.negatives.number": 4}
    return keys


def _scale(facts: Facts) -> dict[str, Any]:
    if not facts.rated:
        events = strengths_of(facts.events) or None
        none = dict.fromkeys(("data.min_rating", "data.max_rating", "data.like"))
        return {**none, "data.events": events}
    low, high = facts.lowest, facts.highest
    usual = [s for s in _SCALES if s[0] <= low and high == s[1] and (s != _SCALES[1] or low < 1)]
    if facts.ratings and usual:
        low, high = max(usual)
    like = low + _LIKED * (high - low)
    levels = [level for level in facts.ratings if level >= like]
    like = min(levels) if levels else float(f"{like:.3g}")
    scale = {"data.min_rating": low, "data.max_rating": high, "data.like": like}
    return {**scale, "data.events": None}


def _share_above(share: float, usual: float) -> float:
    """A limit with some room above what is there, no less than the usual one."""
    return usual if share <= 0.8 * usual else min(1.0, float(np.ceil(share * 12) / 10))


def _validation_share(n_users: int) -> float:
    """Of those who are not cold, four in five of ``n_users``; at most a quarter of them."""
    return float(np.clip(np.round(_CHOOSING / (0.8 * max(n_users, 1)), 3), 0.125, 0.25))
