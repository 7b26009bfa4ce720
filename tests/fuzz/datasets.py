"""Datasets that are no trouble to imagine, and trouble to some: drawn at random, or of one kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from .pipeline import Dataset

Rng = np.random.Generator
STARS = {"data.min_rating": 1.0, "data.max_rating": 5.0, "data.like": 4.0}


def inter(users: Any, items: Any, ratings: Any) -> pd.DataFrame:
    """The table of ratings."""
    columns = {"user_id:token": users, "item_id:token": items, "rating:float": ratings}
    return pd.DataFrame(columns)


def sparse(
    rng: Rng, n_users: int, n_items: int, share: float, ratings: Callable[[int], Any]
) -> pd.DataFrame:
    """Everybody has rated a random ``share`` of the items, popular ones more often."""
    weight_N = rng.gamma(1.0, size=n_items) + 0.2
    size = max(1, round(share * n_items))
    rows = [
        (f"u{user}", f"i{item}")
        for user in range(n_users)
        for item in rng.choice(n_items, size, replace=False, p=weight_N / weight_N.sum())
    ]
    users, items = zip(*rows, strict=True)
    return inter(users, items, ratings(len(rows)))


def _stars(rng: Rng) -> Callable[[int], Any]:
    return lambda n: rng.integers(1, 6, n)


def ones(rng: Rng) -> Dataset:
    """Purchases, say."""
    scale = {"data.min_rating": 0.0, "data.max_rating": 1.0, "data.like": 1.0}
    return Dataset({"inter": sparse(rng, 40, 30, 0.5, np.ones)}, scale)


def constant(rng: Rng) -> Dataset:
    """Everybody gives three stars, and means a like."""
    drawn = sparse(rng, 40, 30, 0.5, lambda n: np.full(n, 3.0))
    return Dataset({"inter": drawn}, STARS | {"data.like": 3.0})


def nearly_constant(rng: Rng) -> Dataset:
    """One rating in two hundred is another."""
    drawn = sparse(rng, 40, 30, 0.5, lambda n: np.where(rng.random(n) < 0.005, 1, 5))
    return Dataset({"inter": drawn}, STARS)


def constant_rows(rng: Rng) -> Dataset:
    """Half of the users, and a third of the items, have one rating each for everything."""
    table = sparse(rng, 40, 30, 0.5, _stars(rng))
    user, item = (table.iloc[:, column].str[1:].astype(int) for column in (0, 1))
    table["rating:float"] = table["rating:float"].where(user % 2 == 0, 4).where(item % 3 > 0, 2)
    return Dataset({"inter": table}, STARS)


def dense(rng: Rng) -> Dataset:
    """Everybody rated everything."""
    return Dataset({"inter": sparse(rng, 40, 12, 1.0, _stars(rng))}, STARS)


def dense_with_holes(rng: Rng) -> Dataset:
    """A few have not."""
    table = sparse(rng, 40, 12, 1.0, _stars(rng))
    return Dataset({"inter": table.drop(table.sample(9, random_state=1).index)}, STARS)


def a_dozen_items(rng: Rng) -> Dataset:
    """And two thirds of them rated."""
    return Dataset({"inter": sparse(rng, 60, 12, 0.7, _stars(rng))}, STARS)


def fewer_items_than_a_list(rng: Rng) -> Dataset:
    """Seven: every list has them all."""
    few = {"prepare.min_ratings": 5, "prepare.query_size": 2}
    return Dataset({"inter": sparse(rng, 60, 7, 0.8, _stars(rng))}, STARS | few)


def one_user(rng: Rng) -> Dataset:
    """Nobody to learn from."""
    return Dataset({"inter": sparse(rng, 1, 60, 0.5, _stars(rng))}, STARS)


def one_item_each(rng: Rng) -> Dataset:
    """Nobody to be judged by a second rating."""
    return Dataset({"inter": sparse(rng, 60, 20, 0.05, _stars(rng))}, STARS)


def all_items_new(rng: Rng) -> Dataset:
    """No two users share an item: whatever a cold user rated, nobody rated it before."""
    users = np.repeat(np.arange(40), 10)
    table = inter([f"u{u}" for u in users], np.arange(len(users)), rng.integers(1, 6, len(users)))
    return Dataset({"inter": table}, STARS)


def a_bot(rng: Rng) -> Dataset:
    """One user with ten thousand ratings among people with fifteen."""
    people = sparse(rng, 40, 30, 0.5, _stars(rng))
    items = [f"i{i}" for i in range(10_000)]
    bot = inter("bot", items, rng.integers(1, 6, len(items)))
    return Dataset({"inter": pd.concat([people, bot])}, STARS)


def keys_of_any_shape(rng: Rng) -> Dataset:
    """Unicode, spaces, zeros in front, quotes, very long ones, what looks like no value."""
    table = sparse(rng, 40, 30, 0.5, _stars(rng))
    odd = [
        "007",
        "7",
        "ид 1",
        "名 前",
        "a" * 3000,
        '"quoted"',
        "nan",
        "None",
        "-1",
        "1e5",
        "x,y",
        "é",
    ]
    names = dict(enumerate(odd))
    for column in ("user_id:token", "item_id:token"):
        number = table[column].str[1:].astype(int)
        table[column] = number.map(names).fillna(table[column])
    return Dataset({"inter": table}, STARS)


def nobody_likes(rng: Rng) -> Dataset:
    """The highest rating is below a like."""
    table = sparse(rng, 40, 30, 0.5, lambda n: rng.integers(1, 4, n))
    return Dataset({"inter": table}, STARS)


def everybody_likes(rng: Rng) -> Dataset:
    """The lowest rating is a like."""
    return Dataset({"inter": sparse(rng, 40, 30, 0.5, lambda n: rng.integers(4, 6, n))}, STARS)


def counts(rng: Rng) -> Dataset:
    """Plays: a few of them enormous."""
    drawn = sparse(rng, 40, 30, 0.5, lambda n: np.floor(rng.lognormal(1.0, 2.5, n)) + 1)
    top = float(drawn["rating:float"].max())
    scale = {"data.min_rating": 0.0, "data.max_rating": top, "data.like": 5.0}
    return Dataset({"inter": drawn}, scale)


def far_from_zero(rng: Rng) -> Dataset:
    """Years, say: the spread is a ten thousandth of the value."""
    drawn = sparse(rng, 40, 30, 0.5, lambda n: 20_000 + rng.integers(1, 6, n))
    scale = {"data.min_rating": 20_001.0, "data.max_rating": 20_005.0, "data.like": 20_004.0}
    return Dataset({"inter": drawn}, scale)


KINDS: dict[str, Callable[[Rng], Dataset]] = {
    kind.__name__: kind
    for kind in (
        ones, constant, nearly_constant, constant_rows, dense, dense_with_holes, a_dozen_items,
        fewer_items_than_a_list, one_user, one_item_each, all_items_new, a_bot, keys_of_any_shape,
        nobody_likes, everybody_likes, counts, far_from_zero,
    )
}  # fmt: skip
"""By name."""


def any_dataset(seed: int) -> Dataset:
    """Drawn at random: size, sparsity, scale, head, split, times, side information, repeats."""
    rng = np.random.default_rng(seed)
    n_users, n_items = int(rng.integers(5, 90)), int(rng.integers(5, 80))
    low = float(rng.choice([0, 1, -10, 0.5, 1000]))
    steps, step = int(rng.choice([1, 2, 4, 9, 20, 100])), float(rng.choice([0.5, 1, 0.1, 25]))
    high = low + steps * step
    place = rng.beta(rng.choice([0.3, 1, 5]), rng.choice([0.3, 1, 5]), n_users * n_items)
    values = low + step * np.round(steps * place)
    share = float(rng.choice([0.02, 0.1, 0.4, 0.9, 1.0], p=[0.02, 0.08, 0.5, 0.25, 0.15]))
    table = sparse(rng, n_users, n_items, share, lambda n: values[:n])
    if rng.random() < 0.3:  # rated again, in another way
        again = table.sample(frac=0.04, random_state=seed)
        rating = again["rating:float"]
        again["rating:float"] = rating.where(rating < high, low - step) + step
        table = pd.concat([table, again])
    if timed := rng.random() < 0.6:
        span = int(rng.choice([10, 1000, 10**8]))
        joined = table["user_id:token"].str[1:].astype(int) * rng.integers(0, 2 * span // 10)
        seconds = 1_300_000_000 + joined + rng.integers(0, span, len(table))
        repeated = table.duplicated(["user_id:token", "item_id:token"])
        table["timestamp:float"] = seconds + np.where(repeated, span, 0)
    tables = {"inter": table} | _side_tables(rng, table)
    query = int(rng.integers(1, 5))
    shots = [[0], [0, 1, 3], [1, 2], [0, 2, 5, 10]][int(rng.integers(4))]
    head = str(rng.choice(["rating", "click", "ranking"], p=[0.6, 0.2, 0.2]))
    params: dict[str, Any] = {
        "head": head,
        "data.min_rating": low,
        "data.max_rating": high,
        "data.like": _like(rng, table["rating:float"], low),
        "goal": str(rng.choice(["list", {"rating": "rating", "click": "click"}.get(head, "list")])),
        "validate.max_duplicate_share": 0.2,
        "prepare.query_size": query,
        "prepare.shots": shots,
        "prepare.min_ratings": max(2, query + shots[-1]) + int(rng.integers(0, 4)),
        "prepare.n_folds": int(rng.integers(2, 6)),
        "prepare.validation_share": float(rng.choice([0.2, 0.3, 0.5])),
        "prepare.split": "temporal" if timed and rng.random() < 0.3 else "random",
        "prepare.order": "chronological" if timed and rng.random() < 0.3 else "random",
        "pretrain.backbone": str(rng.choice(BACKBONES)),
        "meta_train.algorithms": list(dict.fromkeys(rng.choice(ALGORITHMS, 3).tolist())),
    }
    if head == "ranking":
        params["meta_train.negatives.number"] = 2
    return Dataset(tables, params)


def _like(rng: Rng, ratings: pd.Series, low: float) -> float:
    """A rating that occurs, above the lowest of the scale; the end of it where none does."""
    above = ratings[ratings > low]
    return float(rng.choice(above)) if len(above) else low + 1


BACKBONES = ("vbpmf_audience", "vbpmf_audience", "vbpmf", "mf", "two_tower", "deepfm")
ALGORITHMS = (
    "bayes_head", "multitask", "cnp", "maml", "fomaml", "anil", "melu", "meta_sgd", "mlr",
    "reptile", "meta_lstm", "metaprox", "imaml", "leo", "proto", "finetune", "multitask",
    "bayes_head",
)  # fmt: skip


def _side_tables(rng: Rng, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    users, items = table["user_id:token"].unique(), table["item_id:token"].unique()
    made = {}
    if rng.random() < 0.5:
        made["user"] = pd.DataFrame(
            {
                "user_id:token": users,
                "age:token": rng.integers(10, 80, len(users)),
                "gender:token": rng.choice(["F", "M", ""], len(users)),
            }
        )
    if rng.random() < 0.5:
        extra = [f"new{i}" for i in range(int(rng.integers(0, 4)))]
        every = np.concatenate([items, extra]) if extra else items
        genres = ["Drama", "Comedy Drama", "Horror", "", "Action Comedy"]
        made["item"] = pd.DataFrame(
            {
                "item_id:token": every,
                "movie_title:token_seq": [f"Title {i}" for i in range(len(every))],
                "release_year:token": rng.integers(1950, 2020, len(every)),
                "class:token_seq": rng.choice(genres, len(every)),
            }
        )
    return made
