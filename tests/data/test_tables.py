"""Tables say what the source says, by row, and something definite where it says nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from coldstart.data.sources import Source, read_source
from coldstart.data.tables import prepare_source
from coldstart.params import DataParams, PrepareParams


@pytest.fixture
def source(tiny_source: Path) -> Source:
    return read_source(tiny_source, "tiny")


def test_ratings_and_titles_are_those_of_the_source(
    source: Source, data_params: DataParams, prepare_params: PrepareParams
) -> None:
    """An item without a title is called by its key; of two titles the first is taken."""
    assert source.items is not None
    names = source.items.set_index("item_id")["movie_title"].to_dict()
    again = source.items.assign(movie_title="another")
    items = pd.concat([source.items, again]).reset_index(drop=True)
    items.loc[items["item_id"] == "i4", "movie_title"] = ""
    items = items[items["item_id"] != "i5"]
    told = replace(source, items=items)
    made = prepare_source(told, data_params, prepare_params, seed=0, head="rating")
    titles = dict(zip(made.items["key"], made.items["title"], strict=True))
    assert titles == names | {"": "", "i4": "i4", "i5": "i5"}
    rows = made.ratings.assign(
        user_id=made.users["key"].to_numpy()[made.ratings["user"]],
        item_id=made.items["key"].to_numpy()[made.ratings["item"]],
    ).sort_values(["user_id", "item_id"])
    given = source.ratings.sort_values(["user_id", "item_id"])
    for column in ("user_id", "item_id", "rating", "timestamp"):
        assert rows[column].tolist() == given[column].tolist(), column
    assert rows["target"].tolist() == given["rating"].tolist()


def test_without_timestamps_every_rating_is_of_second_minus_one(
    source: Source, data_params: DataParams, prepare_params: PrepareParams
) -> None:
    timeless = replace(source, ratings=source.ratings.drop(columns="timestamp"))
    made = prepare_source(timeless, data_params, prepare_params, seed=0, head="rating")
    assert (made.ratings["timestamp"] == -1).all()
    assert not made.summary["has_timestamps"]


@pytest.mark.parametrize("with_table", [False, True])
def test_without_titles_items_are_called_by_their_keys(
    source: Source, data_params: DataParams, prepare_params: PrepareParams, with_table: bool
) -> None:
    assert source.items is not None
    items = source.items.drop(columns="movie_title") if with_table else None
    plain = replace(source, items=items)
    made = prepare_source(plain, data_params, prepare_params, seed=0, head="rating")
    assert len(made.items) == 61
    assert made.items["title"].equals(made.items["key"])


def test_of_who_is_not_in_the_table_of_users_nothing_is_known(
    source: Source, data_params: DataParams, prepare_params: PrepareParams
) -> None:
    """A text is empty and a number is missing; the others keep theirs, the first of two."""
    assert source.users is not None
    users = source.users.assign(height=np.arange(float(len(source.users))))
    users = pd.concat([users, users.assign(height=-1.0, gender="X")])
    users = users[users["user_id"] != "u3"].reset_index(drop=True)
    told = replace(source, users=users)
    made = prepare_source(told, data_params, prepare_params, seed=0, head="rating")
    known = made.attributes.assign(key=made.users["key"]).set_index("key")
    assert known.loc["u3", ["age", "gender"]].tolist() == ["", ""]
    assert np.isnan(known.loc["u3", "height"])
    assert known.loc[["u0", "u4"], "height"].tolist() == [0.0, 4.0]
    assert set(known["gender"]) == {"", "F", "M"}
