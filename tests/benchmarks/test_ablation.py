"""The ablation's rows and the mixture that its last rows are scored by."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise

import torch

import ablation
from coldstart.data.episodes import Support
from coldstart.models.recommender import Prediction


def test_every_row_has_one_part_more_than_the_row_above() -> None:
    rows = [variant for _, variant in ablation.ladder()]
    for above, row in pairwise(rows):
        changed = {f.name for f in fields(row) if getattr(row, f.name) != getattr(above, f.name)}
        assert len(changed) == 1 or changed == {"trained", "noise_of_a_newcomer"}
        assert set(above.features) <= set(row.features)
        assert above.trained <= row.trained


class Fixed:
    """Predicts one normal distribution."""

    n_items = 3

    def __init__(self, mean: float, variance: float) -> None:
        self.values = mean, variance

    def adapt(self, support: Support) -> dict[str, torch.Tensor]:
        return {"mean_B": torch.full((len(support.items_BS),), self.values[0])}

    def score(self, state: dict[str, torch.Tensor], items_BQ: torch.Tensor) -> Prediction:
        assert state["mean_B"].unique().tolist() == [self.values[0]]
        shape = items_BQ.shape
        return Prediction(*(torch.full(shape, value) for value in self.values))


def test_a_mixture_has_the_moments_of_a_mixture() -> None:
    support = Support(
        torch.ones(2, 1, dtype=torch.int64),
        torch.ones(2, 1),
        torch.ones(2, 1, dtype=torch.bool),
        torch.zeros(2, 0),
        torch.zeros(2, dtype=torch.int64),
    )
    mixture = ablation.Mixture([Fixed(1.0, 0.5), Fixed(3.0, 1.5)])  # type: ignore[list-item]
    found = mixture.score(mixture.adapt(support), torch.ones(2, 4, dtype=torch.int64))
    assert found.variance is not None
    torch.testing.assert_close(found.mean, torch.full((2, 4), 2.0))
    torch.testing.assert_close(found.variance, torch.full((2, 4), 1.0 + 1.0))
