"""Differences between two checkouts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from before import differences
from coldstart.errors import EvaluationError


def _errors(values: list[list[float]], users: list[int]) -> pd.DataFrame:
    index = pd.MultiIndex.from_tuples([(0, user) for user in users])
    return pd.DataFrame(values, index=index, columns=[0, 5])


def test_a_difference_is_of_roots_of_means() -> None:
    here = _errors([[1.0, 4.0], [7.0, 4.0]], [1, 2])
    there = _errors([[1.0, 1.0], [1.0, 1.0]], [1, 2])
    found, low, high = differences(here, there, 2000, seed=0)
    np.testing.assert_allclose(found, [1.0, 1.0])
    np.testing.assert_allclose([low[1], high[1]], [1.0, 1.0])  # no user differs
    np.testing.assert_allclose([low[0], high[0]], [0.0, 7**0.5 - 1])


def test_other_users_are_no_comparison() -> None:
    one = _errors([[1.0, 1.0]], [1])
    with pytest.raises(EvaluationError, match="other users"):
        differences(one, _errors([[1.0, 1.0]], [2]), 10, seed=0)
