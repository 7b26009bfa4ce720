"""Which column of a table is what: by a person's word, by its name, or by what it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from coldstart.errors import DataError
from coldstart.intake.content import (
    MAX_EVENTS,
    entities_by_content,
    interactions_by_content,
    kind_by_content,
)
from coldstart.intake.tables import Table

NONE = "none"
"""What a person says of a role that no column is to play."""

# usual names, without case and punctuation; an earlier one is preferred
NAMES = {
    "user": "userid user uid reviewerid customerid customer visitorid memberid member accountid "
    "personid person clientid buyerid shopperid listenerid readerid viewerid playerid subscriberid "
    "steamid usermboxsha1 username userkey reviewer",
    "item": "itemid item iid movieid parentasin asin productid product bookid isbn book articleid "
    "songid trackid artistid animeid gameid appid videoid newsid contentid businessid recipeid "
    "poiid venueid placeid goodsid sku skuid listingid offerid adid jokeid beerid movie article "
    "song track artist game video musicbrainzartistid itemkey",
    "rating": "rating ratings score stars overall grade bookrating userrating reviewscore "
    "reviewrating overallrating starrating ratingvalue ratingscore preference label vote click "
    "isclick clicked liked",
    "timestamp": "timestamp unixreviewtime time ts datetime ratingtime eventtime eventtimestamp "
    "unixtime date createdat created createdtime ratedat reviewedat updatedat timestampms "
    "ratingtimestamp reviewdate ratingdate eventdate reviewtime dateadded viewedat purchasedat",
    "event": "event eventtype eventname action actiontype behavior behaviortype behaviour "
    "behaviourtype interaction interactiontype feedbacktype type",
    "count": "count counts plays playcount playcounts listencount listens weight strength quantity "
    "qty freq frequency hours playtime timesplayed views clicks watchratio dwelltime",
    "title": "title movietitle booktitle itemtitle producttitle name itemname productname "
    "moviename bookname primarytitle headline",
    "year": "year releaseyear publicationyear yearofpublication originalpublicationyear startyear "
    "releasedate publicationdate published",
    "genres": "genres genre class categories category tags topics maincategory categorycode",
}
_USUAL = {role: words.split() for role, words in NAMES.items()}
INTERACTIONS = ("user", "item", "rating", "timestamp", "event", "count")
ITEMS = ("item", "title", "year", "genres")
ROLES = {"interactions": INTERACTIONS, "items": ITEMS, "users": ("user",)}
KEYS = {"interactions": ("user", "item"), "items": ("item",), "users": ("user",)}

_NO_ITEM = re.compile(r"(user|session|category|event|order|transaction|review|index|row)s?id$")

Roles = dict[str, str]
"""Role -> name of the column that plays it."""


@dataclass
class Guess:
    """The roles of a table's columns, and how each was found."""

    free: list[str]  # columns without a role
    roles: Roles = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)

    def give(self, role: str, column: str | None, how: str) -> None:
        """Give a role to a column, if there is one and it has none yet."""
        if column is not None and role not in self.roles:
            self.roles[role], self.how[role] = column, how
            self.free = [name for name in self.free if name != column]


def plain(name: str) -> str:
    """A name without case and punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def knows(name: str) -> bool:
    """Whether it is a usual name of some role."""
    return any(plain(name) in names for names in _USUAL.values())


def by_name(columns: Sequence[str], role: str) -> str | None:
    """The column with the most usual name for a role."""
    of = {plain(name): name for name in reversed(columns)}
    return next((of[usual] for usual in _USUAL[role] if usual in of), None)


def _some_id(columns: Sequence[str]) -> str | None:
    """The first column that is called the id of something that a person might choose."""
    ids = [c for c in columns if re.search(r"[a-z]id$", plain(c)) and not _NO_ITEM.search(plain(c))]
    return ids[0] if ids else None


def roles_of(
    kind: str, table: Table, sample: pd.DataFrame, said: Mapping[str, str], like: Roles
) -> Guess:
    """Give each role of a kind of table to a column.

    Args:
        kind: interactions, items or users.
        table: What the columns are of.
        sample: Its first rows.
        said: Role -> a column's name or number (from 1), or ``none``, as a person says.
        like: Roles of the interactions, whose name for a key is the first choice elsewhere.

    Raises:
        DataError: a key has no column, or a person named one that is not there.
    """
    guess = Guess(list(table.columns))
    wanted = [role for role in ROLES[kind] if said.get(role) != NONE]
    for role in wanted:
        if role in said:
            guess.give(role, _named(table, role, said[role]), "as given")
    if table.named:
        _by_names(kind, guess, wanted, sample, like)
    else:
        by_content = interactions_by_content if kind == "interactions" else entities_by_content
        open_roles = [role for role in wanted if role not in guess.roles]
        for role, column in by_content(open_roles, sample[guess.free]).items():
            guess.give(role, column, "by what it holds")
    for key in KEYS[kind]:
        if key not in guess.roles:
            option = f"--{key}" if kind == "interactions" else f"--{kind}-key"
            raise DataError(
                f"{table.label}: which column is the {key}? give {option} COLUMN; "
                f"{_shown(table, sample)}"
            )
    return guess


def _by_names(
    kind: str, guess: Guess, wanted: Sequence[str], sample: pd.DataFrame, like: Roles
) -> None:
    if kind != "interactions":
        key = KEYS[kind][0]
        guess.give(key, like[key] if like.get(key) in guess.free else None, "the same name")
    for role in wanted:
        column = by_name(guess.free, role)
        if role == "event" and column and sample[column].nunique() > MAX_EVENTS:
            continue
        guess.give(role, column, "by its name")
    if kind != "interactions":
        plain_id = (name for name in guess.free if plain(name) in ("id", "key", "index"))
        guess.give(KEYS[kind][0], next(plain_id, None), "by its name")
    if "item" in wanted:
        guess.give("item", _some_id(guess.free), "by its name")


def _shown(table: Table, sample: pd.DataFrame) -> str:
    first = sample.iloc[0] if len(sample) else None
    cells = [
        f"{n} {c!r}" + ("" if first is None else f" (as {str(first[c])[:20]!r})")
        for n, c in enumerate(table.columns, start=1)
    ]
    return f"columns: {', '.join(cells[:12])}"


def _named(table: Table, role: str, word: str) -> str:
    """The column that a person means; its name goes before its number."""
    if word in table.columns:
        return word
    if word.isdigit() and 1 <= int(word) <= len(table.columns):
        return table.columns[int(word) - 1]
    raise DataError(
        f"{table.label}: has no column {word!r}, which was to be the {role}; it has "
        f"{', '.join(table.columns[:20])}"
    )


def kind_of(
    table: Table, sample: pd.DataFrame, said: Mapping[str, str], *, alone: bool
) -> str | None:
    """interactions, items or users; None where it is not clear.

    Args:
        table: A table that nobody said the kind of.
        sample: Its first rows.
        said: Role -> column, as in :func:`roles_of`.
        alone: Whether there is no other table, so that it has to be the interactions.
    """
    if alone:
        return "interactions"
    if table.named:
        user, item = (
            said.get(role) in table.columns or by_name(table.columns, role)
            for role in ("user", "item")
        )
        if user and item:
            return "interactions"
        if user:
            return "users"
        titled = item or by_name(table.columns, "title") or by_name(table.columns, "genres")
        return "items" if titled else None
    return kind_by_content(table.label, sample)
