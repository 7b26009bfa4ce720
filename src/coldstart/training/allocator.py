"""Keep freed memory: a training step asks for what the step before has just given back.

The C library returns large blocks to the system as soon as they are free, so that every step meets
its pages anew, one fault for each 4 KiB. In a second-order meta-gradient, which allocates a copy of
each user's weights for every inner step, that is up to a fifth of the time.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_MOST_FREE = 2**31 - 1
_LARGEST = 32 * 2**20
"""Larger blocks are returned all the same; glibc allows no more."""


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, for good; False where the C library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    set_both = mallopt(_M_MMAP_THRESHOLD, _LARGEST) and mallopt(_M_TRIM_THRESHOLD, _MOST_FREE)
    return bool(set_both)
