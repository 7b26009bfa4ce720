"""The dataset, its expectations, and the split into historical, validation and cold users."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from coldstart.params.section import Section, Share

Unknown = Annotated[float, Field(ge=0, le=1)]


class Scale(NamedTuple):
    """What ratings may be, and from where on they are likes."""

    low: float
    high: float
    like: float


class DataParams(Section):
    """Which dataset, and what its ratings, or its rows without ratings, mean."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Folder under data/ and stem of its files.",
    )
    source: str = Field(
        description="Where `coldstart fetch` finds it: 'recbole', a folder, a zip, or its URL; "
        "'import' if `coldstart import` made it."
    )
    min_rating: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="Lowest rating of the scale; null, as is max_rating: no ratings are read, and "
        "what users did with items says what they like.",
    )
    max_rating: float | None = Field(
        default=None, allow_inf_nan=False, description="Highest rating of the scale, or null."
    )
    like: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="From this rating on, an item counts as liked. Without ratings: from this sum "
        "of the strengths of a user's rows with the item; null is 1.",
    )
    events: dict[str, Annotated[float, Field(allow_inf_nan=False)] | None] | None = Field(
        default=None,
        description="Without ratings: the strength of a row of each kind of `event`, times its "
        "`count`; 0 says that the row alone is no like, less takes from the other rows, null "
        "leaves such rows out. null: a row without `count` has strength 1.",
    )
    seq_separator: str | None = Field(
        default=None,
        min_length=1,
        description="Between the values of a field that holds several, such as genres; null: a bar "
        "where there is one, else a space.",
    )

    @property
    def rated(self) -> bool:
        """Whether the data has ratings; else strengths."""
        return self.min_rating is not None

    @property
    def scale(self) -> Scale:
        """Of what the prepared data has as ratings: strengths as shares of a like."""
        if self.min_rating is None or self.max_rating is None or self.like is None:
            return Scale(0.0, 1.0, 1.0)
        return Scale(self.min_rating, self.max_rating, self.like)

    @property
    def enough(self) -> float:
        """The sum of strengths that is a like."""
        return 1.0 if self.like is None else self.like

    @model_validator(mode="after")
    def _consistent(self) -> DataParams:
        if (self.min_rating is None) != (self.max_rating is None):
            raise ValueError("min_rating and max_rating: both a number, or both null")
        if self.min_rating is None or self.max_rating is None:
            if self.enough <= 0:
                raise ValueError(f"like: {self.like:g} must be above 0 without ratings, or null")
            return self
        if self.like is None or not self.min_rating < self.like <= self.max_rating:
            raise ValueError("needs min_rating < like <= max_rating")
        if self.events is not None:
            raise ValueError("events: is for data without ratings; set it to null, or min_rating")
        return self


class ValidateParams(Section):
    """Limits of the data's expectations that depend on the dataset."""

    min_ratings: int = Field(ge=1, description="Fewest rows of the rating table.")
    max_duplicate_share: float = Field(
        ge=0, le=1, description="Largest share of rows that repeat a user and item."
    )
    max_unknown_items: Unknown = Field(
        default=0.0,
        description="Largest share of the rated items, and of the linked, that .item may lack; "
        "nothing is known of them then.",
    )
    max_unknown_users: Unknown = Field(
        default=0.0, description="Largest share of the users with ratings that .user may lack."
    )
    max_unknown_entities: Unknown = Field(
        default=0.0, description="Largest share of the entities in .link that .kg may lack."
    )
    max_age_days: float | None = Field(
        gt=0, description="Oldest allowed newest rating, in days before `as_of`; null: not checked."
    )
    as_of: str | None = Field(
        description="The day that counts as today, YYYY-MM-DD; null: the day after the newest "
        "accepted rating. Never the clock: it is an input."
    )
    min_volume_ratio: float = Field(
        ge=0, le=1, description="Fewest rows, as a share of the last accepted data."
    )
    max_distribution_shift: float = Field(
        ge=0,
        le=1,
        description="Largest total variation distance of the rating distribution to that of the "
        "last accepted data.",
    )


Feature = Literal["attributes", "genres", "year", "graph", "title"]
"""Kinds of side information; the first is of users, the others of items."""


class PrepareParams(Section):
    """The evaluation protocol: who is cold, and what is known of them."""

    split: Literal["random", "temporal"] = Field(
        description="random: folds over users; temporal: users who arrive after the cut."
    )
    n_folds: int = Field(ge=2, le=20, description="Number of folds of the random split.")
    folds: tuple[Annotated[int, Field(ge=0, le=19)], ...] = Field(
        min_length=1,
        strict=False,
        description="Folds to train and evaluate; [0] with the temporal split.",
    )
    validation_share: Share = Field(
        description="Share of the users who are not cold that is kept for validation."
    )
    temporal_quantile: Share = Field(
        description="Quantile of all timestamps at which the temporal split cuts."
    )
    order: Literal["random", "chronological"] = Field(
        description="Order in which a cold user's support arrives."
    )
    min_ratings: int = Field(ge=2, description="A user with fewer ratings is not evaluated.")
    query_size: int = Field(ge=1, description="Ratings of a user that are predicted.")
    shots: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        min_length=1, strict=False, description="Support sizes K of the sweep, ascending."
    )
    features: tuple[Feature, ...] = Field(
        strict=False,
        description="Side information that methods may use, as far as the dataset has it; title "
        "is read by a language model and needs the extra `text`.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> PrepareParams:
        if list(self.shots) != sorted(set(self.shots)):
            raise ValueError("shots: must be ascending, without repeats")
        if self.min_ratings < self.query_size + self.shots[-1]:
            raise ValueError("min_ratings: must be at least query_size + the largest of shots")
        if self.split == "temporal" and self.folds != (0,):
            raise ValueError("folds: the temporal split has one fold, [0]")
        if len(set(self.folds)) != len(self.folds) or max(self.folds) >= self.n_folds:
            raise ValueError("folds: must be distinct and below n_folds")
        if len(set(self.features)) != len(self.features):
            raise ValueError("features: must be distinct")
        return self
