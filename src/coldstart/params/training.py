"""Meta-training, what is made of trained methods, and tuning."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from coldstart.params.section import Section, Seed


class LoopParams(Section):
    """The outer loop that all meta-learners share."""

    max_steps: int = Field(ge=1, description="Most meta-updates.")
    batch_size: int = Field(ge=1, description="Users per meta-update.")
    accumulate: int = Field(
        ge=1,
        description="Parts in which the users of a meta-update are taken, to bound memory; the "
        "update stays the same up to rounding, except of leo and multitask.",
    )
    precision: Literal["float32", "bf16"] = Field(
        description="bf16: matrix products of a meta-update in bfloat16, worth it on CUDA; "
        "validation and results are float32, and only float32 on the CPU is bit-exact.",
    )
    query_size: int = Field(ge=1, description="Query ratings drawn per training episode.")
    max_support: int = Field(ge=0, description="Support sizes are drawn uniformly from 0 to this.")
    eval_every: int = Field(ge=1, description="Steps between evaluations on validation users.")
    patience: int = Field(ge=1, description="Evaluations without improvement before stopping.")
    clip_norm: float = Field(gt=0, description="Largest norm of a meta-gradient.")
    checkpoint_every: int = Field(ge=1, description="Steps between checkpoints.")

    @model_validator(mode="after")
    def _parts(self) -> LoopParams:
        if self.accumulate > self.batch_size:
            raise ValueError(f"accumulate: must be at most batch_size ({self.batch_size})")
        return self


class NegativesParams(Section):
    """Implicit feedback: unrated items that count as not liked in meta-training."""

    number: int = Field(
        ge=0, le=1000, description="Draws per liked item of the query; 0: only ratings count."
    )
    alpha: float = Field(
        ge=0,
        le=1,
        description="Items are drawn by this power of their number of ratings; 0: uniformly.",
    )


class MetaTrainParams(Section):
    """Meta-training of each algorithm."""

    algorithms: tuple[str, ...] = Field(
        min_length=1, strict=False, description="Algorithms to train, by name."
    )
    seeds: tuple[Seed, ...] = Field(
        min_length=1, strict=False, description="Training seeds; each gives a model per fold."
    )
    loop: LoopParams
    negatives: NegativesParams

    @model_validator(mode="after")
    def _distinct(self) -> MetaTrainParams:
        if len(set(self.algorithms)) != len(self.algorithms):
            raise ValueError("algorithms: must be distinct")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds: must be distinct")
        return self


class TuneParams(Section):
    """How much is spent on choosing the numbers of one method; the same for every method."""

    trials: int = Field(
        ge=1, le=10_000, description="Settings tried per method, the present one included."
    )


class Tuned(Section):
    """How the numbers of one section were chosen; written by ``coldstart tune`` only."""

    trials: int = Field(ge=1, description="Settings that were tried.")
    folds: tuple[int, ...] = Field(
        min_length=1, strict=False, description="Folds on whose validation users they were tried."
    )
    objective: float = Field(description="Error of the chosen one on them, over all shots.")
    study: str = Field(description="Digest of the study: inputs, code, every trial's outcome.")
    values: str = Field(description="Digest of the section as it was chosen.")
