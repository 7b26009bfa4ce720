from __future__ import annotations

import pytest
import torch

from coldstart.errors import ParamsError
from coldstart.training.device import usable


def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParamsError, match=r"device: 'cuda' is not allowed: no CUDA device here"):
        usable("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert usable("cuda") == "cuda"
