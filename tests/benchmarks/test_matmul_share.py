"""What counts as a matrix product, and how many operations it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import matmul_share
from matmul_share import Products


def test_products_are_counted_in_the_backward_pass_too() -> None:
    a_BIJ = torch.randn(3, 4, 5, requires_grad=True)
    b_BJK = torch.randn(3, 5, 2, requires_grad=True)
    with Products() as products:
        (a_BIJ @ b_BJK).relu().sum().backward()
    one = 2 * 3 * 4 * 5 * 2  # a multiplication and an addition per cell
    assert products.flops == 3 * one  # the product, and the gradient of each factor
    assert [func for func, _ in products.calls] == [torch.ops.aten.bmm.default] * 3


def test_the_collected_products_are_those_that_ran() -> None:
    a, b = torch.randn(4, 5), torch.randn(5, 2)
    with Products() as products:
        expected = a @ b
    ((func, operands),) = products.calls
    assert torch.equal(func(*operands), expected)


def test_in_cache_every_product_of_a_kind_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three products of two kinds, each kind is timed once and counted as often as it ran."""
    seconds = {(4, 5): 1.0, (5, 4): 10.0}

    def took(steps: dict[Any, Any], rounds: int) -> dict[Any, float]:
        return {key: seconds[tuple(step.args[0].shape)] for key, (step, _) in steps.items()}

    monkeypatch.setattr(matmul_share, "medians", took)
    a, b = torch.randn(4, 5), torch.randn(5, 4)
    with Products() as products:
        _ = a @ b, b @ a, (a + 1) @ (b + 1)
    assert matmul_share.in_cache(products.calls, rounds=1) == 1 + 10 + 1
