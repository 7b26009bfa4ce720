"""Training with early stopping, on a loss whose best step is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from coldstart.data.episodes import Episodes, Support
from coldstart.models.descent import PATIENCE, train
from coldstart.params import NetworkParams

PARAMS = NetworkParams(
    factors=1,
    hidden=1,
    epochs=50,
    batch_size=10,
    learning_rate=0.1,
    weight_decay=0.0,
    dropout=0.0,
)


EMPTY = torch.zeros((0, 0), dtype=torch.int64)
NOBODY = Episodes(
    Support(EMPTY, EMPTY, EMPTY.bool(), EMPTY.float(), EMPTY.sum(1)),
    EMPTY,
    EMPTY.float(),
    EMPTY.bool(),
    EMPTY.sum(1),
)
"""Who is asked; the error that is told does not read them."""


def _walk(target: float, **changes: Any) -> tuple[dict[str, Tensor], list[int], dict[str, Tensor]]:
    """Adam walks up a slope at .1 a step; validation is best at ``target``. 25 ratings: 3 steps."""
    start, steps = {"x": torch.zeros(())}, []

    def loss(weights: dict[str, Tensor], step: int) -> Tensor:
        steps.append(step)
        return -weights["x"]

    def error(weights: dict[str, Tensor], episodes: Episodes) -> Tensor:
        assert episodes is NOBODY
        return (weights["x"] - target).square()

    best = train(start, loss, error, NOBODY, PARAMS.model_copy(update=changes), 25, "test")
    return best, steps, start


@pytest.mark.parametrize(("target", "epoch"), [(0.62, 2), (1.17, 4), (-5.0, 0)])
def test_the_best_epoch_is_kept_and_training_stops_soon_after(target: float, epoch: int) -> None:
    best, steps, start = _walk(target)
    assert float(best["x"]) == pytest.approx(0.3 * epoch, abs=1e-5)
    assert steps == [0, 1, 2] * (epoch + PATIENCE)
    assert float(start["x"]) == 0.0
    assert not best["x"].requires_grad


def test_it_ends_after_the_epochs_it_was_given() -> None:
    best, steps, _ = _walk(100.0, epochs=2)
    assert float(best["x"]) == pytest.approx(0.6, abs=1e-5)
    assert steps == [0, 1, 2] * 2


def test_weights_without_a_gradient_only_decay_slowly() -> None:
    """Decoupled: with the penalty in the gradient Adam would take full steps towards 0."""
    start = {"x": torch.tensor(1.0), "y": torch.tensor(1.0)}
    best = train(
        start,
        lambda own, _: own["x"].square() + 0.0 * own["y"],
        lambda own, _: own["x"],
        NOBODY,
        PARAMS.model_copy(update={"weight_decay": 0.1, "epochs": 1}),
        100,
        "test",
    )
    assert float(best["y"]) == pytest.approx((1 - 0.1 * 0.1) ** 10, rel=1e-5)
    assert float(best["x"]) < 0.3
