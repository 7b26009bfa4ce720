"""Backbones and baselines."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from coldstart.params.section import Section, search


class MFParams(Section):
    """Backbone ``mf``: alternating ridge regressions, with side information in the priors."""

    factors: int = Field(
        ge=1,
        le=256,
        json_schema_extra=search(4, 48, log=True),
        description="Dimension of the factors.",
    )
    sweeps: int = Field(ge=1, le=1000, description="Alternations between users and items.")
    user_penalty: float = Field(
        gt=0,
        json_schema_extra=search(2, 50, log=True),
        description="Ridge penalty of a user's factors around their prior.",
    )
    item_penalty: float = Field(
        gt=0,
        json_schema_extra=search(2, 50, log=True),
        description="Ridge penalty of an item's factors around their prior.",
    )
    bias_penalty: float = Field(
        gt=0,
        json_schema_extra=search(1, 20, log=True),
        description="Ridge penalty of a user's or an item's bias around its prior.",
    )
    side_penalty: float = Field(
        gt=0,
        json_schema_extra=search(5, 500, log=True),
        description="Ridge penalty of the maps from side information to prior means.",
    )
    crossfit: int = Field(
        ge=1, le=100, description="Groups of users for cross-fitted item features; 1: none."
    )


class VBPMFParams(Section):
    """Backbones ``vbpmf`` and ``vbpmf_audience``: variational Bayesian matrix factorisation."""

    factors: int = Field(
        ge=1,
        le=64,
        json_schema_extra=search(4, 24, log=True),
        description="Dimension of the factors.",
    )
    sweeps: int = Field(ge=1, le=1000, description="Alternations between users and items.")
    side_penalty: float = Field(
        gt=0,
        json_schema_extra=search(5, 500, log=True),
        description="Ridge penalty of the maps from side information to factors.",
    )
    audience: int = Field(
        ge=0,
        le=256,
        description="Dimensions of who rates an item, beside its side information; 0: none, and "
        "the number of its ratings is not read either.",
    )
    user_noise: bool = Field(description="Whether users differ in how exact their ratings are.")
    relevance: bool = Field(
        description="Whether each attribute of users has a penalty of its own, which starts at "
        "side_penalty and is estimated with the rest."
    )
    crossfit: int = Field(
        ge=1, le=100, description="Groups of users for cross-fitted item features; 1: none."
    )


class NetworkParams(Section):
    """A pretrained network and the AdamW that trains it."""

    factors: int = Field(
        ge=1,
        le=256,
        json_schema_extra=search(8, 64, log=True),
        description="Dimension of the embeddings.",
    )
    hidden: int = Field(
        ge=1,
        le=1024,
        json_schema_extra=search(16, 128, log=True),
        description="Width of the hidden layers.",
    )
    epochs: int = Field(
        ge=1,
        le=1000,
        description="Most passes over the historical ratings; stops early on validation users.",
    )
    batch_size: int = Field(ge=1, description="Ratings per step.")
    learning_rate: float = Field(
        gt=0,
        le=1,
        json_schema_extra=search(3e-4, 1e-2, log=True),
        description="Step size of AdamW.",
    )
    weight_decay: float = Field(
        ge=0, json_schema_extra=search(1e-4, 1, log=True), description="Decoupled decay of AdamW."
    )
    dropout: float = Field(
        ge=0, lt=1, json_schema_extra=search(0, 0.5), description="Dropout of hidden units."
    )


class TwoTowerParams(NetworkParams):
    """Backbone ``two_tower``: attributes and side information through two small networks."""


class DeepFMParams(NetworkParams):
    """DeepFM: a factorisation machine and a network over shared embeddings."""

    unknown_share: float = Field(
        ge=0,
        le=1,
        json_schema_extra=search(0, 1),
        description="Share of the training ratings whose user is unknown, as a new one is.",
    )


class UserPriorParams(Section):
    """What is known of a user before any rating is read; estimated on top of every backbone."""

    damping: float = Field(
        gt=0, description="Ratings at which the choice of items counts half as much as of many."
    )
    penalty: float = Field(gt=0, description="Ridge penalty of the regression on chosen items.")
    draws: int = Field(ge=1, le=100, description="Random supports of each historical user.")
    max_support: int = Field(ge=1, le=1000, description="Largest size of a random support.")


class ChoiceParams(Section):
    """Which items people choose to rate, but for the size of the model."""

    activity: float = Field(
        ge=0,
        le=1,
        description="A user's ones are divided by this power of their number of ratings.",
    )
    noise: float = Field(
        gt=0,
        description="Variance of an observed choice around its expectation, in mean variances of "
        "an item's exposure over users.",
    )
    penalty: float = Field(
        gt=0,
        description="Ridge penalty of the map from a user's attributes to the factors.",
    )


class ExposureParams(ChoiceParams):
    """Which items people choose to rate; estimated on top of every backbone."""

    factors: int = Field(ge=1, le=512, description="Dimension of the factors.")


class PretrainParams(Section):
    """Backbones and baselines, fitted on the historical users."""

    backbone: Literal["mf", "vbpmf", "vbpmf_audience", "two_tower", "deepfm"] = Field(
        description="Backbone that meta-learners start from."
    )
    mf: MFParams
    vbpmf: VBPMFParams
    vbpmf_audience: VBPMFParams
    two_tower: TwoTowerParams
    deepfm: DeepFMParams
    user_prior: UserPriorParams
    exposure: ExposureParams
