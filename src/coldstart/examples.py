"""Newcomers by example: people who love a few titles, and three unlike ones of any catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from coldstart.errors import DataError
from coldstart.served import Served

POOL = 200
"""Titles that examples are made of: those recommended to somebody of whom nothing is known."""
DEPTH = 50
"""Length of the lists by whose overlap two titles are alike."""


class Newcomer(NamedTuple):
    """What somebody says on arrival, by the keys of items."""

    loves: tuple[str, ...]
    dislikes: tuple[str, ...] = ()

    def request(self, served: Served) -> dict[str, list[object]]:
        """What :meth:`Served.recommend` reads: the best and the worst rating of the scale.

        Raises:
            DataError: something is disliked, and the champion was learnt from data without ratings.
        """
        scale = served.facts.scale
        items: list[object] = [*self.loves, *self.dislikes]
        if scale is None:
            if self.dislikes:
                raise DataError(
                    f"dislike: {served.facts.dataset} has no ratings, so its champion knows what "
                    "is liked alone; name what you love"
                )
            return {"items": items}
        best: list[object] = [scale.high] * len(self.loves)
        return {"items": items, "ratings": best + [scale.low] * len(self.dislikes)}


def find_item(served: Served, text: str) -> str:
    """The key of an item from its key, or from its title or a part of it in any case.

    Raises:
        DataError: nothing matches, or several titles do and none is the text itself.
    """
    titles = served.titles
    if text in titles:
        return text
    wanted = text.casefold()
    exact = [key for key, title in titles.items() if title.casefold() == wanted]
    found = exact or [key for key, title in titles.items() if wanted in title.casefold()]
    if len(found) == 1:
        return found[0]
    if not found:
        raise DataError(f"{text!r}: no title or key of {served.facts.dataset} is or holds this")
    shown = ", ".join(f"{titles[key]} ({key})" for key in found[:5])
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    raise DataError(f"{text!r}: is in {len(found)} titles: {shown}{more}; name one by its key")


def unlike_newcomers(served: Served) -> list[Newcomer]:
    """Three people with little in common: two who love three titles, one who loves two and
    dislikes what the first loves most, where data has ratings. Fewer where the catalogue is small.

    Titles are as alike as the lists of two people who love nothing else. The first is the title
    most unlike the rest, each next one the most unlike those before; beside it stand its likest.
    """
    (known,) = served.recommend([{}], POOL)
    pool = [best["item"] for best in known["recommendations"]]
    if len(pool) < 9:
        return [Newcomer(tuple(pool[:1]))] if pool else []
    lists = served.recommend([Newcomer((key,)).request(served) for key in pool], DEPTH)
    sets = [{best["item"] for best in found["recommendations"]} for found in lists]
    alike = np.array([[len(a & b) for b in sets] for a in sets], dtype=float)
    anchors = [int(alike.sum(1).argmin())]
    while len(anchors) < 3:
        nearest = alike[anchors].max(0)
        nearest[anchors] = np.inf
        anchors.append(int(nearest.argmin()))
    groups = _groups(alike, anchors)
    loves = [tuple(pool[i] for i in group) for group in groups]
    disliked = loves[0][:1] if served.facts.scale is not None else ()
    return [Newcomer(loves[0]), Newcomer(loves[1]), Newcomer(loves[2][:2], disliked)]


def _groups(alike: np.ndarray, anchors: Sequence[int]) -> list[list[int]]:
    """Each anchor with the two likest of those that are nobody's yet."""
    groups = [[anchor] for anchor in anchors]
    taken = set(anchors)
    for group in groups:
        for i in np.argsort(-alike[group[0]], kind="stable").tolist():
            if len(group) == 3:
                break
            if i not in taken:
                group.append(i)
                taken.add(i)
    return groups
