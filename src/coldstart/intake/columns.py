"""Which column of a table is what: by a person's word, by its name, or by what it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from coldstart.errors import DataError
from coldstart.intake.tables import Table
from coldstart.intake.values import decimal_of, is_time, numbers

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
    "qty freq frequency hours playtime timesplayed views clicks",
    "title": "title movietitle booktitle itemtitle producttitle name itemname productname "
    "moviename bookname primarytitle headline",
    "year": "year releaseyear publicationyear yearofpublication originalpublicationyear startyear "
    "releasedate publicationdate published",
    "genres": "genres genre class categories category tags topics maincategory categorycode",
}
_USUAL = {role: words.split() for role, words in NAMES.items()}
INTERACTIONS = ("user", "item", "rating", "timestamp", "event", "count")
ITEMS = ("item", "title", "year", "genres")
USERS = ("user",)
ROLES = {"interactions": INTERACTIONS, "items": ITEMS, "users": USERS}

_ANOTHERS_ID = re.compile(r"(user|session|category|event|order|transaction|review|index|row)s?id$")
_MAX_KINDS = 50  # of events
_MAX_LEVELS = 101  # of a scale of ratings; whole numbers with more are counts

Roles = dict[str, str]
"""Role -> name of the column that plays it."""


@dataclass(frozen=True)
class Guess:
    """The roles of a table's columns, and how they were found."""

    roles: Roles
    how: dict[str, str]


def plain(name: str) -> str:
    """A name without case and punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def knows(name: str) -> bool:
    """Whether it is a usual name of some role."""
    return any(plain(name) in names for names in _USUAL.values())


def by_name(columns: Sequence[str], role: str) -> str | None:
    """The column with the most usual name for a role."""
    of = {plain(name): name for name in reversed(columns)}
    for usual in _USUAL[role]:
        if usual in of:
            return of[usual]
    if role == "item":
        ids = [c for c in columns if plain(c).endswith("id") and not _ANOTHERS_ID.search(plain(c))]
        return ids[0] if ids and plain(ids[0]) != "id" else None
    return None


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
    guess = Guess({}, {})
    free = list(table.columns)

    def give(role: str, column: str, how: str) -> None:
        guess.roles[role], guess.how[role] = column, how
        if column in free:
            free.remove(column)

    wanted = [role for role in ROLES[kind] if said.get(role) != NONE]
    for role in wanted:
        if role in said:
            give(role, _named(table, role, said[role]), "as given")
    for role in wanted:
        if role in guess.roles:
            continue
        same = like.get(role) if kind != "interactions" else None
        if table.named and same in free:
            give(role, str(same), "the same name")
        elif table.named and (column := by_name(free, role)) is not None:
            if role == "event" and sample[column].nunique() > _MAX_KINDS:
                continue
            give(role, column, "by its name")
    if not table.named:
        find = _interactions_by_content if kind == "interactions" else _entities_by_content
        for role, column in find(kind, free, sample, set(wanted) - set(guess.roles)).items():
            give(role, column, "by what it holds")
    elif kind != "interactions" and free and (key := ROLES[kind][0]) not in guess.roles:
        column = next((c for c in free if plain(c) in ("id", "key", "index")), None)
        if column is not None:
            give(key, column, "by its name")
    for key in ("user", "item") if kind == "interactions" else ROLES[kind][:1]:
        if key not in guess.roles:
            option = f"--{key}" if kind == "interactions" else f"--{kind}-key"
            raise DataError(
                f"{table.label}: which column is the {key}? give {option} COLUMN; "
                f"{_shown(table, sample)}"
            )
    return guess


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


def _interactions_by_content(
    kind: str, free: list[str], sample: pd.DataFrame, wanted: set[str]
) -> Roles:
    """Files without a header begin with user and item, as if by agreement."""
    found: Roles = {}
    rest = iter(free)
    for role in ("user", "item"):
        if role in wanted and (column := next(rest, None)) is not None:
            found[role] = column
    for column in rest:
        role = _role_by_content(sample[column])
        if role in wanted - set(found):
            found[role] = column
    return found


def _role_by_content(values: pd.Series) -> str:
    values = values[values != ""]
    if not len(values):
        return ""
    if is_time(values):
        return "timestamp"
    amounts = numbers(values, decimal_of(values))
    if not pd.isna(amounts).any():
        whole = bool((amounts == amounts.round()).all())
        return "count" if whole and len(set(amounts)) > _MAX_LEVELS else "rating"
    return "event" if values.nunique() <= min(_MAX_KINDS, len(values) / 2) else ""


def _entities_by_content(
    kind: str, free: list[str], sample: pd.DataFrame, wanted: set[str]
) -> Roles:
    """The first column is the key; a title is text that hardly repeats, genres repeat in lists."""
    found: Roles = {}
    if ROLES[kind][0] in wanted and free:
        found[ROLES[kind][0]] = free[0]
    if kind == "items":
        for column in free[1:]:
            values = sample[column][sample[column] != ""]
            if not len(values) or not pd.isna(numbers(values, ".")).all():
                continue
            distinct = values.nunique() / len(values)
            if "title" in wanted and "title" not in found and distinct > 0.9:
                found["title"] = column
            elif "genres" in wanted and "genres" not in found and values.str.contains("[|]").any():
                found["genres"] = column
    return found


def kind_of(table: Table, sample: pd.DataFrame, *, alone: bool) -> str | None:
    """interactions, items or users; None where it is not clear.

    Args:
        table: A table that nobody said more about.
        sample: Its first rows.
        alone: Whether there is no other table, so that it has to be the interactions.
    """
    if alone:
        return "interactions"
    if table.named:
        user, item = by_name(table.columns, "user"), by_name(table.columns, "item")
        if user and item:
            return "interactions"
        if user:
            return "users"
        titled = item or by_name(table.columns, "title") or by_name(table.columns, "genres")
        return "items" if titled else None
    if sample.iloc[:, 0].duplicated().any():
        return "interactions"
    told = plain(table.label.replace("\\", "/").rsplit("/", 1)[-1])
    if re.match(r"u?(sers?|customers?|members?|people)", told):
        return "users"
    texts = [c for c in sample.columns[1:] if pd.isna(numbers(sample[c], ".")).all()]
    unique = any(sample[c].nunique() > 0.9 * len(sample) for c in texts)
    return "items" if unique else "users"
