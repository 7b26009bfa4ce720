"""Evaluation and the gate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from coldstart.params.section import Section, Share

Goal = Literal["list", "rating", "click"]
"""What decides between methods: the list of ten, predicted ratings, or probabilities of a like."""


class EvaluateParams(Section):
    """Intervals and segments."""

    resamples: int = Field(ge=100, le=1_000_000, description="Bootstrap resamples of users.")
    confidence: Share = Field(description="Level of the intervals.")
    catalogue_users: int = Field(
        ge=1,
        description="Most cold users per fold for whom the whole catalogue is ranked.",
    )
    min_segment: int = Field(
        ge=2, description="A segment with fewer users is shown but never gates."
    )


class GateParams(Section):
    """When a candidate replaces the champion."""

    min_improvement: float = Field(
        ge=0,
        description="The interval of the improvement, a mean over all shots, must lie above this, "
        "in the unit of the goal's metric.",
    )
    max_rating_loss: float = Field(
        ge=0,
        description="Most by which the error of what is predicted may grow, as a share of the "
        "champion's, where the goal is another.",
    )
    max_segment_regression: float = Field(
        ge=0, description="Largest loss in a gated segment, in the unit of the goal's metric."
    )
    max_turned: Share | Literal[0] = Field(
        description="Most by which the share of ratings that look turned round may be larger among "
        "users new to the champion than among its cold users, beyond chance; more is bad data.",
    )
    max_adapt_ms: float = Field(
        gt=0,
        description="Latency budget: milliseconds to adapt to one user and rank the catalogue.",
    )
    require_approval: bool = Field(description="Whether a person must approve a promotion.")
    approval_timeout_s: int = Field(
        ge=1, description="Seconds until an unanswered approval counts as a no."
    )
