"""Text is the same wherever a part of it ends."""

from __future__ import annotations

import io

import pytest

from coldstart.intake.streams import Recoded


class Dribble(io.BytesIO):
    """Gives a few bytes at a time."""

    def __init__(self, content: bytes, size: int) -> None:
        super().__init__(content)
        self.size = size

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self.size)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
def test_a_separator_or_letter_may_be_cut(size: int, encoding: str) -> None:
    text = "1::Zoë: a tale::5\n2:::x::\n::"
    stream = Recoded(Dribble(text.encode(encoding), size), encoding, ("::", "|"))
    assert stream.readall().decode() == "1|Zoë: a tale|5\n2|:x|\n|"
