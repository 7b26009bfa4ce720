"""Whatever is written in whatever way comes back as the same rows in the same order."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from coldstart.data.sources import read_source
from coldstart.intake.convert import import_files, import_frames
from coldstart.intake.values import MISSING
from coldstart.intake.wishes import Wishes

# keys as people have them: any letters, marks and signs, with single spaces inside
WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z"), include_characters="\",;|:'\\"),
    min_size=1,
    max_size=8,
)
KEYS = (
    st.lists(WORDS, min_size=1, max_size=3)
    .map(" ".join)
    .filter(lambda key: key not in MISSING and not key.endswith(".0"))
)
RATINGS = st.one_of(st.integers(-10, 100), st.sampled_from([0.5, 1.5, 2.25, 4.75, 1e-7, 1e6 + 0.1]))
TIMES = st.integers(100_000_000, 4_000_000_000)
FRAMES = st.lists(st.tuples(KEYS, KEYS, RATINGS, TIMES), min_size=1, max_size=30).map(
    lambda rows: pd.DataFrame(rows, columns=["user_id", "item_id", "rating", "timestamp"]).astype(
        {"rating": "float64"}
    )
)


def _imported(folder: Path, frame: pd.DataFrame) -> None:
    """Hold what is in data/d against the frame."""
    found = read_source(folder / "data/d", "d").ratings
    assert found["user_id"].tolist() == frame["user_id"].tolist()
    assert found["item_id"].tolist() == frame["item_id"].tolist()
    assert found["rating"].tolist() == frame["rating"].tolist()
    assert found["timestamp"].tolist() == frame["timestamp"].tolist()


@settings(max_examples=60, deadline=None)
@given(
    frame=FRAMES,
    separator=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    decimal=st.sampled_from([".", ","]),
    quoting=st.sampled_from([0, 1, 2]),
    scale=st.sampled_from([1, 1000, 10**6]),
    packed=st.booleans(),
)
def test_text(
    frame: pd.DataFrame,
    separator: str,
    encoding: str,
    line_end: str,
    decimal: str,
    quoting: int,
    scale: int,
    packed: bool,
) -> None:
    written = frame.assign(timestamp=frame["timestamp"] * scale)
    if decimal == ",":
        written["rating"] = written["rating"].astype("str").str.replace(".", ",")
    text = written.to_csv(index=False, sep=separator, lineterminator=line_end, quoting=quoting)
    content = text.encode(encoding)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "d.txt")
        path.write_bytes(gzip.compress(content) if packed else content)
        # one rating does not tell whether "1e-07" is a decimal number with a point or a comma
        unit = {1: "seconds", 1000: "milliseconds", 10**6: "microseconds"}[scale]
        wishes = Wishes(decimal=decimal, time=unit)
        import_files([path], root=Path(folder), wishes=wishes)
        _imported(Path(folder), frame)


@settings(max_examples=20, deadline=None)
@given(frame=FRAMES)
def test_typed(frame: pd.DataFrame) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        import_frames(frame, name="d", root=root)
        _imported(root, frame)
        before = (root / "data/d/d.inter").read_bytes()
        frame.to_parquet(root / "d.parquet")
        frame.to_json(root / "d.jsonl", orient="records", lines=True, double_precision=15)
        for name in ("d.parquet", "d.jsonl"):
            assert not import_files([root / name], name="d", root=root).new, name
        assert (root / "data/d/d.inter").read_bytes() == before
