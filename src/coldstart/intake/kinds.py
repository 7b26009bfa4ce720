"""How much a kind of event says, by its name: a first guess for a person to correct.

A view is a weak sign, an order or a like a strong one; what is against an item takes from the rest.
A kind that has no usual name counts as a strong one. The strongest kind that there is counts 1.
"""

from __future__ import annotations

from collections.abc import Iterable

_WEAK, _MIDDLE, _AGAINST = 0.1, 0.5, -1.0
_NAMES = {
    _WEAK: ("view", "detail", "click", "impression", "open", "visit", "browse", "pv"),
    _MIDDLE: ("cart", "basket", "wish", "fav", "save", "collect", "bookmark"),
    _AGAINST: (
        "dislike",
        "remove",
        "return",
        "refund",
        "cancel",
        "skip",
        "hide",
        "unlike",
        "block",
    ),
}


def strengths_of(kinds: Iterable[str]) -> dict[str, float]:
    """Kind -> strength, by name."""
    guessed = {kind: _strength(kind) for kind in sorted(kinds)}
    strongest = max((value for value in guessed.values() if value > 0), default=1.0)
    return {
        kind: round(value / strongest, 3) if value > 0 else value for kind, value in guessed.items()
    }


def _strength(kind: str) -> float:
    """By the last group of ``_NAMES`` that has a part of it: remove_from_cart is against."""
    lowered = kind.lower()
    found = [value for value, names in _NAMES.items() if any(name in lowered for name in names)]
    return found[-1] if found else 1.0
