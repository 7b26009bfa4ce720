"""Ratings made up at any size, shaped like MovieLens: who rates what, and how well they like it.

Users and items grow as they do from ml-100k to ml-10m: a hundred ratings per user, 1700 items at
10^5 ratings and 2.5 times as many with each decade. What users choose has a long tail and follows
their taste; ratings follow quality, taste and mood. Taste is partly told by a user's attributes and
an item's genres, so that every method has what it is made for. The same seed gives the same bytes.

Shapes: U users, B users of a block, N items, F latent factors.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

PER_USER, LEAST = 106, 20
"""Ratings of a user: on average, and at least."""
MOST_OF_ITEMS = 0.45
"""Share of the items that the busiest user has rated."""
ITEMS_AT_1E5, ITEMS_PER_DECADE = 1682, 0.4
"""Items at 10^5 ratings, and the exponent with which they grow."""
FACTORS = 6
GENRES = np.array(["Action", "Comedy", "Crime", "Drama", "Family", "Horror", "Romance", "War"])
OCCUPATIONS = np.array(["artist", "doctor", "engineer", "lawyer", "librarian", "student", "writer"])
START, DAY = 1_000_000_000, 86_400
YEARS_OF_ARRIVALS = 3
CELLS = 4_000_000
"""Pairs of a user and an item that are looked at together: bounds the memory."""


class Items(NamedTuple):
    """What is true of items."""

    genres_NG: NDArray[np.bool_]
    factors_NF: Floats
    log_weight_N: Floats  # of being chosen
    quality_N: Floats  # in rating points


class Users(NamedTuple):
    """What is true of users."""

    age_U: NDArray[np.int64]
    man_U: NDArray[np.bool_]
    occupation_U: NDArray[np.int64]
    factors_UF: Floats
    mood_U: Floats  # in rating points
    count_U: NDArray[np.int64]


def write(folder: Path, n_ratings: int, seed: int = 0) -> None:
    """Write atomic files named like the folder, rows in order of time."""
    rng = np.random.default_rng(seed)
    n_users = max(1, round(n_ratings / PER_USER))
    n_items = round(ITEMS_AT_1E5 * (n_ratings / 1e5) ** ITEMS_PER_DECADE)
    items, users = _items(rng, n_items), _users(rng, n_users, n_ratings, n_items)
    ratings = pd.concat(_ratings(rng, items, users), ignore_index=True)
    ratings = ratings.sort_values(["timestamp:float", "user_id:token"], kind="stable")
    for column, letter in (("user_id:token", "u"), ("item_id:token", "i")):
        keys = pd.Index([f"{letter}{i}" for i in range(ratings[column].max() + 1)])
        ratings[column] = pd.Categorical.from_codes(ratings[column], keys)
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"inter": ratings, "item": _item_table(rng, items), "user": _user_table(users)}
    for suffix, table in tables.items():
        table.to_csv(folder / f"{folder.name}.{suffix}", sep="\t", index=False)


def _items(rng: np.random.Generator, n_items: int) -> Items:
    genres_NG = np.eye(len(GENRES), dtype=bool)[rng.integers(0, len(GENRES), n_items)]
    genres_NG |= rng.random((n_items, len(GENRES))) < 0.1
    of_genres_GF = rng.normal(0, 0.6, (len(GENRES), FACTORS))
    log_weight_N = rng.normal(0, 1.5, n_items)
    return Items(
        genres_NG,
        genres_NG @ of_genres_GF + rng.normal(0, 0.4, (n_items, FACTORS)),
        log_weight_N,
        2.9 + 0.2 * log_weight_N + rng.normal(0, 0.35, n_items),
    )


def _users(rng: np.random.Generator, n_users: int, n_ratings: int, n_items: int) -> Users:
    age_U = rng.integers(16, 70, n_users)
    man_U = rng.random(n_users) < 0.6
    occupation_U = rng.integers(0, len(OCCUPATIONS), n_users)
    factors_UF = rng.normal(0, 0.25, (len(OCCUPATIONS), FACTORS))[occupation_U]
    factors_UF += np.outer((age_U - 40) / 20, rng.normal(0, 0.15, FACTORS))
    factors_UF += np.outer(man_U - 0.6, rng.normal(0, 0.4, FACTORS))
    factors_UF += rng.normal(0, 0.35, (n_users, FACTORS))
    mood_U = rng.normal(0, 0.4, n_users)
    count_U = _counts(rng, n_users, n_ratings, int(MOST_OF_ITEMS * n_items))
    return Users(age_U, man_U, occupation_U, factors_UF, mood_U, count_U)


def _counts(rng: np.random.Generator, n_users: int, n_ratings: int, most: int) -> NDArray[np.int64]:
    """Log-normal above the least; what would be above the most goes to the others."""
    busy_U, count_U = rng.lognormal(0, 1.2, n_users), np.full(n_users, LEAST)
    while (left := n_ratings - count_U.sum()) > 0:
        share_U = busy_U * (count_U < most)
        count_U = np.minimum(count_U + rng.multinomial(left, share_U / share_U.sum()), most)
    return count_U


def _ratings(rng: np.random.Generator, items: Items, users: Users) -> Iterator[pd.DataFrame]:
    """Without replacement: the highest of log weight plus taste plus Gumbel noise are chosen."""
    n_users, n_items = len(users.count_U), len(items.quality_N)
    arrival_U = START + rng.integers(0, YEARS_OF_ARRIVALS * 365 * DAY, n_users)
    step = max(1, CELLS // n_items)
    for start in range(0, n_users, step):
        block = slice(start, start + step)
        taste_BN = users.factors_UF[block] @ items.factors_NF.T
        wish_BN = items.log_weight_N + taste_BN + rng.gumbel(size=taste_BN.shape)
        order_BN = np.argsort(-wish_BN.astype(np.float32), axis=1)
        chosen_BN = np.arange(n_items) < users.count_U[block, None]
        row_R, _ = np.nonzero(chosen_BN)
        item_R = order_BN[chosen_BN]
        stars_R = items.quality_N[item_R] + users.mood_U[block][row_R] + taste_BN[row_R, item_R]
        stars_R += rng.normal(0, 0.7, len(item_R))
        yield pd.DataFrame(
            {
                "user_id:token": start + row_R,
                "item_id:token": item_R,
                "rating:float": np.clip(np.rint(stars_R), 1, 5).astype("int64"),
                "timestamp:float": arrival_U[block][row_R] + rng.integers(0, DAY, len(item_R)),
            }
        )


def _item_table(rng: np.random.Generator, items: Items) -> pd.DataFrame:
    n_items = len(items.quality_N)
    return pd.DataFrame(
        {
            "item_id:token": [f"i{i}" for i in range(n_items)],
            "movie_title:token_seq": [f"Title {i}" for i in range(n_items)],
            "release_year:token": rng.integers(1930, 2001, n_items),
            "class:token_seq": [" ".join(np.array(GENRES)[of].tolist()) for of in items.genres_NG],
        }
    )


def _user_table(users: Users) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user_id:token": [f"u{u}" for u in range(len(users.age_U))],
            "age:token": users.age_U,
            "gender:token": np.where(users.man_U, "M", "F"),
            "occupation:token": OCCUPATIONS[users.occupation_U],
        }
    )
