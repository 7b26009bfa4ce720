"""Column names and types of the canonical tables that ``prepare`` writes, in one place.

Users and items are rows of a vocabulary. Item 0 is *the unknown item*: it pads batches and stands
for whatever the catalogue does not hold, so every method must be able to score it. Users have no
such row: a new user is never in the vocabulary.
"""

from __future__ import annotations

UNKNOWN_ITEM = 0

# prepared/ratings.parquet: one row per (user, item), the latest rating where there were several
RATINGS = {
    "user": "int32",  # row of users.parquet, from 0
    "item": "int32",  # row of items.parquet, from 1
    "rating": "float64",  # rating points
    "target": "float64",  # what is learnt: the rating, or 0/1 likes with head click or ranking;
    # methods see it in a fold's unit (data/units.py)
    "timestamp": "int64",  # seconds since 1970 UTC; -1 in a dataset without timestamps
}

# prepared/users.parquet: ``user``, ``key`` (the id in the source) and the raw attribute columns,
# which have a prefix
USERS = {"user": "int32", "key": "str", "n_ratings": "int32"}

# prepared/items.parquet: ``item`` (row 0 is the unknown item, key ""), ``key``, ``title``
ITEMS = {"item": "int32", "key": "str", "title": "str"}

# prepared/split.parquet: the part that each user plays in each fold
SPLIT = {"fold": "int8", "user": "int32", "role": "str"}
ROLES = ("historical", "validation", "cold")

# prepared/episodes.parquet: the fixed support pool and query of each user who can be evaluated
EPISODES = {
    "fold": "int8",
    "user": "int32",
    "part": "str",  # "query" or "support"
    "position": "int16",  # order within the part; the support of K shots is the first K
    "item": "int32",
    "rating": "float64",  # both as in RATINGS
    "target": "float64",
}

# evaluation/users.parquet: everything that a table or a plot of results derives from
USER_METRICS = {
    "method": "str",
    "fold": "int8",
    "seed": "int8",
    "role": "str",  # "validation" or "cold"
    "user": "int32",
    "key": "str",
    "k": "int16",
}
