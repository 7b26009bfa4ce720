"""How much of a step is matrix products: the step against its own products, run alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

K = TypeVar("K", bound=Hashable)
Step = Callable[[], Any]
Call = tuple[Any, tuple[Tensor, ...]]  # a function and its operands
REPEATS = 20


class Share(NamedTuple):
    """What :func:`matmul_share` measures; each share is a time over the time of the step."""

    share: float  # of the products alone, one after another, as the step meets them
    share_in_cache: float  # of the products alone, each with operands that are in cache
    alone: float  # Gflop/s of the former
    in_cache: float  # Gflop/s of the latter
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
        self.calls: list[Call] = []
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten.bmm.default, torch.ops.aten.mm.default):
            self.calls.append((func, tuple(operand.detach() for operand in args)))
            self.flops += 2 * args[0].numel() * args[1].shape[-1]
        return func(*args, **(kwargs or {}))


def in_cache(calls: Sequence[Call], rounds: int) -> float:
    """Seconds of the products when each runs over and over on the operands of its kind.

    Products of the same function, shapes and strides are one kind. The operands were just read
    (the first run of each is not timed), so they are in whatever level of cache they fit.
    """
    kinds: dict[Hashable, list[Call]] = {}
    for func, operands in calls:
        key = (func, *((tuple(x.shape), x.stride()) for x in operands))
        kinds.setdefault(key, []).append((func, operands))
    steps = {
        key: (partial(func, *operands), REPEATS) for key, ((func, operands), *_) in kinds.items()
    }
    # A kind's rounds are together: between two kinds the operands of others would take the cache.
    return sum(len(kinds[key]) * medians({key: step}, rounds)[key] for key, step in steps.items())


def matmul_share(step: Step, rounds: int) -> Share:
    """Time ``step``, and its products alone at the same shapes and strides, cold and in cache."""
    with Products() as products:
        step()

    def alone() -> None:
        for func, operands in products.calls:
            func(*operands)

    taken = medians({"step": (step, 3), "alone": (alone, 3)}, rounds)
    taken["in_cache"] = in_cache(products.calls, rounds)
    rates = {name: products.flops / seconds / 1e9 for name, seconds in taken.items()}
    shares = [taken[name] / taken["step"] for name in ("alone", "in_cache")]
    return Share(*shares, **rates)
