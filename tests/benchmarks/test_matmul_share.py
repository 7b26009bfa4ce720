"""What counts as a matrix product, and how many operations it is."""

from __future__ import annotations

import torch

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
