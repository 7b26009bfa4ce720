"""How many factors the list's model of choice has: what the data can carry, which its users say.

Some hundred users carry few dozens of factors; of ten thousand, with short histories, each further
one still pays. Of several sizes the smallest is taken whose lists are within one standard error of
the best ones (Breiman et al. 1984, section 3.4.3): few validation users cannot tell sizes apart.

Legend: S sizes, A validation users who like anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from coldstart.models.recommender import Recommender
from coldstart.training.listing import Lists

MOST = 500
"""Validation users who are asked: every size ranks the whole catalogue for each of them."""


def smallest_good(sizes: Sequence[int], make: Callable[[int], Recommender], lists: Lists) -> int:
    """The smallest size that is within one standard error of the best.

    Args:
        sizes: ascending.
        make: a list of this size.
        lists: how good it is.
    """
    if len(sizes) == 1:
        return sizes[0]
    lists = lists.of_some(MOST)
    recalls_SA = torch.stack([lists.recalls(make(size)).mean(0) for size in sizes])
    n_users = recalls_SA.shape[1]
    if n_users < 2:
        return sizes[0]
    lacks_SA = recalls_SA[recalls_SA.mean(1).argmax()] - recalls_SA
    error_S = lacks_SA.std(1) / n_users**0.5
    good = (lacks_SA.mean(1) <= error_S).nonzero()[0]
    return sizes[int(good)]
