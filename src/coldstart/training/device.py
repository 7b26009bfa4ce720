"""Where meta-training runs."""

from __future__ import annotations

import torch

from coldstart.errors import ParamsError


def usable(device: str) -> str:
    """The device, which this machine has.

    Raises:
        ParamsError: it has no such device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ParamsError("device: 'cuda' is not allowed: no CUDA device here; set it to 'cpu'")
    return device
