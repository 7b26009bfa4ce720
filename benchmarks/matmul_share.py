"""How much of a step is matrix products: the step against its own products, run alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

K = TypeVar("K", bound=Hashable)
Step = Callable[[], Any]


class Share(NamedTuple):
    """What :func:`matmul_share` measures."""

    share: float  # time of the products alone over the time of the step
    alone: float  # Gflop/s of the products alone
    step: float  # Gflop/s of the step, counting only its products


def medians(steps: Mapping[K, tuple[Step, int]], rounds: int) -> dict[K, float]:
    """Median seconds of each step in alternating rounds, with so many repeats in each of them."""
    found: dict[K, list[float]] = {name: [] for name in steps}
    for step, _ in steps.values():
        step()
    for _ in range(rounds):
        for name, (step, repeats) in steps.items():
            start = time.perf_counter()
            for _ in range(repeats):
                step()
            found[name].append((time.perf_counter() - start) / repeats)
    return {name: statistics.median(values) for name, values in found.items()}


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects the matrix products that run inside, with their operands."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[Any, tuple[Tensor, ...]]] = []
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten.bmm.default, torch.ops.aten.mm.default):
            self.calls.append((func, tuple(operand.detach() for operand in args)))
            self.flops += 2 * args[0].numel() * args[1].shape[-1]
        return func(*args, **(kwargs or {}))


def matmul_share(step: Step, rounds: int) -> Share:
    """Time ``step`` and its products alone, at the same shapes and strides, in turns."""
    with Products() as products:
        step()

    def alone() -> None:
        for func, operands in products.calls:
            func(*operands)

    taken = medians({"step": (step, 3), "alone": (alone, 3)}, rounds)
    rates = {name: products.flops / seconds / 1e9 for name, seconds in taken.items()}
    return Share(taken["alone"] / taken["step"], **rates)
