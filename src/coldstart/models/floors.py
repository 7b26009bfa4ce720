"""What variances never fall below, in squared target units, where data would make them 0.

Ratings that are all alike, an item that everybody rates the same, more factors than the data has:
each is a dataset, and without a floor a singular matrix, or a certainty that no rating can move.
"""

from __future__ import annotations

LEAST_NOISE = 1e-4
"""Of a rating around its prediction: a hundredth of a unit, about a hundredth of a star."""
LEAST_SPREAD = 1e-6
"""Of users' or items' weights along any direction."""
LEAST_FACTOR = 1e-2
"""Of what a predicted variance is multiplied by, where validation users are predicted exactly."""
