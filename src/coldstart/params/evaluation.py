"""Evaluation and the gate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from coldstart.params.section import Section, Share


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

    metric: Literal["rmse", "mae", "log_loss", "recall@10", "ndcg@10"] = Field(
        description="Primary metric; a gain is less of an error, more of a ranking metric."
    )
    shot: int = Field(
        ge=0, description="Support size at which it is compared; one of prepare.shots."
    )
    min_improvement: float = Field(
        ge=0,
        description="The interval of the improvement must lie above this, in the metric's unit.",
    )
    max_segment_regression: float = Field(
        ge=0, description="Largest loss in a gated segment, in the metric's unit."
    )
    max_adapt_ms: float = Field(
        gt=0,
        description="Latency budget: milliseconds to adapt to one user and rank the catalogue.",
    )
    require_approval: bool = Field(description="Whether a person must approve a promotion.")
    approval_timeout_s: int = Field(
        ge=1, description="Seconds until an unanswered approval counts as a no."
    )
