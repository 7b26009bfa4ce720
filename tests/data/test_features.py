"""Side information becomes centred numbers; what identifies a person does not become a feature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from coldstart.data.features import UserEncoder, fit_user_encoder
from coldstart.data.item_features import genre_separator, item_features
from coldstart.data.prepared import Prepared
from coldstart.data.sources import Source, read_source
from coldstart.errors import DataError
from coldstart.params import Feature


@pytest.fixture
def attributes() -> pd.DataFrame:
    n = 100
    return pd.DataFrame(
        {
            "age": [str(20 + i % 50) for i in range(n)],
            "gender": ["F" if i % 4 == 0 else "M" for i in range(n)],
            "zip_code": [f"{i % 3}{i:04d}" for i in range(n)],
            "email": [f"user{i}@example.org" for i in range(n)],
        }
    )


def test_columns_become_what_they_hold(attributes: pd.DataFrame) -> None:
    encoder = fit_user_encoder(attributes)
    assert [(c.name, c.kind) for c in encoder.columns] == [
        ("age", "band"),
        ("gender", "category"),
        ("zip_code", "category"),
    ]
    assert encoder.labels[:2] == ["age < 30", "age 30 to < 40"]
    assert encoder.labels[-3:] == ["zip_code=0", "zip_code=1", "zip_code=2"]
    assert "100 different values" in encoder.dropped["email"]


def test_features_are_centred_and_zero_when_unknown(attributes: pd.DataFrame) -> None:
    encoder = fit_user_encoder(attributes)
    table = encoder.encode_table(attributes)
    np.testing.assert_allclose(table.mean(axis=0), 0, atol=1e-6)
    woman = encoder.encode({"gender": "F"})
    gender = encoder.labels.index("gender=F")
    torch.testing.assert_close(woman[gender : gender + 2], torch.tensor([0.75, -0.75]))
    assert woman.abs().sum() == pytest.approx(1.5)
    nothing = ({"gender": None}, {"age": ""}, {"age": float("nan")})
    for unknown in ({}, {"gender": "X"}, {"email": "a@b.c"}, *nothing):
        assert encoder.encode(unknown).abs().sum() == 0


def test_one_user_encodes_as_in_the_table(prepared: Prepared) -> None:
    columns = list(prepared.encoder.dropped) + [c.name for c in prepared.encoder.columns]
    for user in (0, 17, 80):
        raw = {c: prepared.attributes.loc[user, c] for c in columns}
        torch.testing.assert_close(prepared.encoder.encode(raw), prepared.user_features_UF[user])


def test_a_number_is_the_same_category_however_it_is_written() -> None:
    level = np.tile([1.0, 2.0, 3.0], 30)
    missing = np.where(np.arange(90) < 10, np.nan, level)
    texts = np.where(np.arange(90) % 2, level.astype(int).astype(str), level.astype(str))
    encoder = fit_user_encoder(pd.DataFrame({"number": missing, "text": texts}))
    assert encoder.labels == [f"{name}={n}" for name in ("number", "text") for n in (1, 2, 3)]
    for name in ("number", "text"):
        two = encoder.encode({name: 2})
        assert two[encoder.labels.index(f"{name}=2")] > 0.5
        for same in (2.0, "2", "2.0", " 2.00 ", np.float64(2)):
            torch.testing.assert_close(encoder.encode({name: same}), two)
        for other in (True, 20, "02", 2.5, float("nan")):
            assert not encoder.encode({name: other}).any()


def test_json_round_trip(attributes: pd.DataFrame) -> None:
    encoder = fit_user_encoder(attributes)
    again = UserEncoder.model_validate_json(encoder.model_dump_json())
    assert again == encoder


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"shoe": 43}, "'shoe': unknown; known: age, gender, zip_code, email"),
        ({"age": "old"}, "'age': 'old' is not a number"),
        ({"age": True}, "'age': 'True' is not a number"),
        ({"gender": ["F"]}, "'gender': .* must be a text or a number"),
    ],
)
def test_wrong_attributes_are_named(
    attributes: pd.DataFrame, raw: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        fit_user_encoder(attributes).encode(raw)


def test_attributes_that_are_not_used_are_known_and_change_nothing(
    attributes: pd.DataFrame,
) -> None:
    encoder = fit_user_encoder(attributes, used=False)
    assert set(encoder.dropped) == set(attributes.columns)
    assert encoder.encode({"gender": "F"}).shape == (0,)


def test_no_attributes_no_features() -> None:
    encoder = fit_user_encoder(pd.DataFrame(index=range(3)))
    assert encoder.encode({}).shape == (0,)
    assert encoder.encode_table(pd.DataFrame(index=range(3))).shape == (3, 0)


def _source(
    items: pd.DataFrame | None, kg: pd.DataFrame | None, link: pd.DataFrame | None
) -> Source:
    return Source("s", pd.DataFrame(), None, items, kg, link, digest="")


def test_genres_and_year() -> None:
    n = 10
    keys = ["", *(f"i{i}" for i in range(n)), "unlisted"]
    items = pd.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(n)],
            "class": ["A B" if i % 2 else "A" for i in range(n)],
            "release_year": [str(1990 + i) for i in range(n - 1)] + ["unknown"],
        }
    )
    known = np.arange(len(keys)) > 0
    block, labels = item_features(_source(items, None, None), keys, known, ["genres", "year"])
    assert labels == ["genre=A", "genre=B", "year"]
    np.testing.assert_allclose(block[[0, -1]], 0)
    np.testing.assert_allclose(block[1:-1, 1], [-0.5, 0.5] * 5)
    np.testing.assert_allclose(block[1:-1, 0], 0)  # all have it: it says nothing
    assert block[n, 2] == 0
    years = np.arange(1990, 1999)
    np.testing.assert_allclose(block[1:n, 2], (years - 1994) / years.std(), rtol=1e-6)


@pytest.mark.parametrize(
    ("separator", "given"), [("|", None), (" ", None), ("|", "|"), (", ", ", "), (";", ";")]
)
def test_genres_between_any_separator(separator: str, given: str | None) -> None:
    items = pd.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(12)],
            "genres": [separator.join(("Action", "Comedy")[: 1 + i % 2]) for i in range(12)],
        }
    )
    keys = ["", *items["item_id"]]
    known = np.arange(len(keys)) > 0
    source = _source(items, None, None)
    block, labels = item_features(source, keys, known, ["genres"], separator=given)
    assert labels == ["genre=Action", "genre=Comedy"]
    np.testing.assert_allclose(block[1:, 1], [-0.5, 0.5] * 6)


def test_a_genre_between_bars_may_hold_spaces() -> None:
    assert genre_separator(pd.Series(["", "Action", "Film Noir|Drama"])) == "|"
    assert genre_separator(pd.Series(["", "Action", "Action Drama"])) == " "


def test_columns_of_other_names_do_not_touch_the_graph() -> None:
    keys = ["", *(f"i{i}" for i in range(6))]
    link = pd.DataFrame({"item_id": keys[1:], "entity_id": [f"e{i}" for i in range(6)]})
    kg = pd.DataFrame({"head_id": link["entity_id"], "tail_id": ["a", "b", "c"] * 2})
    known = np.arange(len(keys)) > 0
    block, _ = item_features(_source(None, kg, link), keys, known, ["graph"])
    assert block.any()
    crowded = _source(
        None,
        kg.assign(row="x", entity="y", entity_id="z", item_id="i1"),
        link.assign(row="x", entity="y", head_id="z", tail_id="z"),
    )
    again, _ = item_features(crowded, keys, known, ["graph"])
    np.testing.assert_array_equal(block, again)


def test_knowledge_graph_brings_neighbours_together() -> None:
    n = 12
    keys = ["", *(f"i{i}" for i in range(n))]
    link = pd.DataFrame({"item_id": keys[1:-1], "entity_id": [f"e{i}" for i in range(n - 1)]})
    triples = [(f"e{i}", "by", f"d{i % 2}") for i in range(n)]
    triples += [(f"g{i % 3}", "of", f"e{i}") for i in range(n)]
    kg = pd.DataFrame(triples, columns=["head_id", "relation_id", "tail_id"])
    known = np.arange(len(keys)) > 0
    block, labels = item_features(_source(None, kg, link), keys, known, ["graph"])
    shuffled = _source(None, kg.sample(frac=1, random_state=0), link)
    again, _ = item_features(shuffled, keys, known, ["graph"])
    np.testing.assert_allclose(block, again, atol=1e-5)
    assert len(labels) == block.shape[1] >= 2
    assert not block[[0, n]].any()  # the unknown item and the one without a link
    same = block[1] @ block[7] / np.linalg.norm(block[1]) / np.linalg.norm(block[7])
    assert same == pytest.approx(1, abs=1e-4)  # items 0 and 6 share both neighbours
    assert np.linalg.norm(block[1] - block[2]) > 0.5


def test_only_chosen_features_are_there(tiny_source: Path) -> None:
    source = read_source(tiny_source, "tiny")
    keys = ["", *source.items["item_id"]]
    known = np.arange(len(keys)) > 0

    def kinds(*chosen: Feature) -> set[str]:
        block, labels = item_features(source, keys, known, chosen)
        assert block.shape == (len(keys), len(labels))
        return {label.split("=")[0].split(" ")[0] for label in labels}

    assert kinds() == set()
    assert kinds("attributes", "year") == {"year"}
    assert kinds("genres", "year", "graph") == {"genre", "year", "kg"}
