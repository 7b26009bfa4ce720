"""AdamW with early stopping: how the networks among the pretrained models are trained.

The decay is decoupled (Loshchilov & Hutter 2019): as a penalty in the gradient, Adam would turn it
into full steps for the embedding of an item that is not in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from coldstart.data.choices import Chooser, choose
from coldstart.data.episodes import Episodes, History
from coldstart.params import NetworkParams
from coldstart.progress import progress

PATIENCE = 3
"""Epochs without a better validation error before training stops."""
DAMPING = 3.0
"""Imagined ratings of each item at the mean in its first offset."""

Weights = dict[str, Tensor]


def train(
    weights: Weights,
    loss: Callable[[Weights, int], Tensor],
    error: Callable[[Weights, Episodes], Tensor],
    validation: Chooser,
    params: NetworkParams,
    n_ratings: int,
    what: str,
) -> Weights:
    """The weights with the lowest validation error of all epochs, the first ones included.

    Args:
        weights: To start from; they are not changed.
        loss: Of the weights on the given step of an epoch, counted from 0.
        error: Of the weights on validation users.
        validation: Who chooses the number of epochs.
        params: Of AdamW and of how long it runs at most.
        n_ratings: Of the history; an epoch has as many steps as batches of it.
        what: Names the work in the display.
    """
    own = _copy(weights)
    for weight in own.values():
        weight.requires_grad_()
    optimiser = torch.optim.AdamW(
        own.values(), lr=params.learning_rate, weight_decay=params.weight_decay
    )
    best: Weights | None = None

    def epochs(most: int) -> Iterator[int]:
        for epoch in progress(range(1, most + 1), what):
            for step in range(-(-n_ratings // params.batch_size)):
                optimiser.zero_grad()
                loss(own, step).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            yield epoch

    def until_stale(episodes: Episodes) -> int:
        nonlocal best
        with torch.no_grad():
            best, lowest, chosen = _copy(own), float(error(own, episodes)), 0
        for epoch in epochs(params.epochs):
            with torch.no_grad():
                now = float(error(own, episodes))
            if now < lowest:
                best, lowest, chosen = _copy(own), now, epoch
            if epoch - chosen == PATIENCE:
                break
        return chosen

    n_epochs = choose(validation, "epochs", until_stale)
    if best is None:  # nobody was asked
        for _ in epochs(n_epochs):
            pass
    return best or _copy(own)


def first_offsets(history: History) -> Tensor:
    """Each item's mean target, shrunk by ``DAMPING``: ``[N]``."""
    targets_R = history.targets_R.double()
    count_N = torch.bincount(history.items_R, minlength=history.n_items)
    sum_N = torch.bincount(history.items_R, targets_R - targets_R.mean(), history.n_items)
    return (targets_R.mean() + sum_N / (count_N + DAMPING)).float()


def _copy(weights: Weights) -> Weights:
    return {name: weight.detach().clone() for name, weight in weights.items()}
