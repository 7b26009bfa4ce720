"""Reptile (Nichol, Achiam & Schulman 2018): theta <- theta + eps * mean over users (phi - theta).

phi are the weights after the inner steps on all of a training user's ratings: Reptile has no query,
so support and query are joined. Eps falls linearly from ``outer_rate`` to 0 (section 6.1).
Deviations: a rating's weight follows ``shrinkage`` as in MAML, and inner updates are the same SGD
as there. Adam, which the paper takes, steps as far after one rating as after twenty.
"""

from __future__ import annotations

from coldstart.algorithms._interpolation import Interpolation, InterpolationParams


class Reptile(Interpolation[InterpolationParams]):
    """Moves theta towards where a few plain steps lead."""

    kind = "reptile"
    Params = InterpolationParams
