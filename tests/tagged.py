"""Tensors that claim to lie on another device and compute on the CPU: strays without a GPU.

A :class:`Tagged` tensor says that its device is ``meta``. While :func:`elsewhere` is in force, what
is made there is tagged, what is computed of tagged tensors is tagged, and an operation that mixes
tagged and plain tensors raises :class:`StrayTensor` where CUDA would raise: a plain scalar may
meet tagged tensors in an elementwise operation, and plain indices may index a tagged one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = "meta"
_COPIES = {"aten::copy_", "aten::_to_copy", "aten::to.device"}
_INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
_NO_SCALARS = {"aten::cat", "aten::stack"}


class StrayTensor(RuntimeError):
    """A tensor on the CPU met one on the other device."""


class Tagged(Tensor):
    """Holds a plain tensor, ``inner``."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Tagged:
        return Tensor._make_wrapper_subclass(  # type: ignore[attr-defined,no-any-return]
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=DEVICE,
            requires_grad=inner.requires_grad,
        )

    def __init__(self, inner: Tensor) -> None:
        self.inner = inner

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Tagged({self.inner})"

    def tolist(self) -> Any:
        """A copy to the host, which any device allows and torch refuses to subclasses."""
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _compute(func, args, kwargs or {})


class _Elsewhere(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _compute(func, args, kwargs or {})


@contextmanager
def elsewhere() -> Iterator[None]:
    """Inside, tensors that are moved to or made on ``DEVICE`` are tagged."""
    with _Elsewhere():
        yield


def _compute(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given = tree_leaves((args, kwargs))
    tagged = [x for x in given if isinstance(x, Tagged)]
    device = kwargs.get("device")
    there = bool(tagged) if device is None else torch.device(device).type == DEVICE
    if device is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
        if there and any(isinstance(x, torch.Generator) for x in given):
            raise StrayTensor(f"{func}: a generator on the CPU draws on the other device")
    if tagged:
        _check(func, args, given)
    with _disable_current_modes():
        result = func(*tree_map(_inner, args), **tree_map(_inner, kwargs))
    if func._schema.is_mutable and isinstance(args[0], Tensor):
        return args[0]  # changed in place, and what holds it with it
    return tree_map(_tag, result) if there else result


def _check(func: Any, args: tuple[Any, ...], given: list[Any]) -> None:
    name = func._schema.name
    plain = [x for x in given if isinstance(x, Tensor) and not isinstance(x, Tagged)]
    if name in _COPIES:
        return
    if name in _INDEXING and isinstance(args[0], Tagged):
        plain = [x for x in plain if not any(x is index for index in args[1])]
    if name not in _NO_SCALARS:
        plain = [x for x in plain if x.dim()]
    if plain:
        shapes = ", ".join(str(tuple(x.shape)) for x in plain)
        raise StrayTensor(f"{func}: on the CPU and not on the other device: {shapes}")


def _inner(x: Any) -> Any:
    return x.inner if isinstance(x, Tagged) else x


def _tag(x: Any) -> Any:
    return Tagged(x) if isinstance(x, Tensor) else x
