"""``params.yaml``: every number of the pipeline, one section per stage.

Each field below is declared, bounded and documented once. An unknown key or a value out of range
is a :class:`~coldstart.errors.ParamsError` that names the key and what is allowed. The numbers of
one algorithm or baseline are declared beside it, as its ``Params`` section; here they are raw
mappings, so that reading ``params.yaml`` (which DAG files do) loads no numerical library.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from coldstart.errors import ParamsError

Seed = Annotated[int, Field(ge=0, le=127)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Section(BaseModel):
    """A part of ``params.yaml``: frozen, strict about types, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def search(low: float, high: float, *, log: bool = False) -> dict[str, JsonValue]:
    """Let ``coldstart tune`` choose a field between two values, both included.

    For ``json_schema_extra`` of a ``Field``; a field without it is not tuned.

    Args:
        low: The lowest value.
        high: The highest.
        log: Whether a ratio counts rather than a difference; not with a range that holds 0.
    """
    return {"tune": {"low": low, "high": high, "log": log}}


class DataParams(Section):
    """Which dataset, and what its ratings mean."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Folder under data/ and stem of its files.",
    )
    source: str = Field(
        description="Where `coldstart fetch` finds it: 'recbole', a folder, or the URL of a zip."
    )
    min_rating: float = Field(description="Lowest rating of the scale.")
    max_rating: float = Field(description="Highest rating of the scale.")
    like: float = Field(description="From this rating on, an item counts as liked.")

    @model_validator(mode="after")
    def _scale(self) -> DataParams:
        if not self.min_rating < self.like <= self.max_rating:
            raise ValueError("needs min_rating < like <= max_rating")
        return self


class ValidateParams(Section):
    """Limits of the data's expectations that depend on the dataset."""

    min_ratings: int = Field(ge=1, description="Fewest rows of the rating table.")
    max_duplicate_share: float = Field(
        ge=0, le=1, description="Largest share of rows that repeat a user and item."
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


class ExposureParams(Section):
    """Which items people choose to rate; estimated on top of every backbone."""

    factors: int = Field(
        ge=1,
        le=256,
        description="Dimension of the factors.",
    )
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


class Params(Section):
    """The whole of ``params.yaml``."""

    seed: Seed = Field(
        description="Seed of the split and of everything that is not a training seed."
    )
    threads: int = Field(
        ge=1,
        le=256,
        description="Threads of each stage; part of the result, since sums depend on it.",
    )
    device: Literal["cpu", "cuda"] = Field(
        description="Where meta-training runs; only 'cpu' is bit-exact."
    )
    protocol: Literal["coldstart", "metarec"] = Field(
        description="coldstart: ours. metarec: the legacy one of RecBole-MetaRec, which only "
        "`coldstart leaderboard` knows, fitting as it goes; no stage runs and nothing is promoted."
    )
    head: Literal["rating", "click", "ranking"] = Field(
        description="rating: rating points (MSE); click: probability of a like (cross-entropy); "
        "ranking: likes above sampled negatives (softmax)."
    )
    data: DataParams
    validate_: ValidateParams = Field(alias="validate")
    prepare: PrepareParams
    pretrain: PretrainParams
    baselines: dict[str, dict[str, Any]] = Field(
        description="One section per baseline, checked by its owner."
    )
    meta_train: MetaTrainParams
    algorithms: dict[str, dict[str, Any]] = Field(
        description="One section per algorithm, checked by its owner."
    )
    combine: dict[str, dict[str, Any]] = Field(
        description="One section per combination, checked by its owner; without one it is not made."
    )
    tune: TuneParams
    tuned: dict[Literal["pretrain", "baselines", "algorithms"], dict[str, Tuned]] = Field(
        description="What `coldstart tune` chose, by section; `coldstart params --check` compares."
    )
    evaluate: EvaluateParams
    gate: GateParams
    effort: dict[Literal["quick", "standard", "full"], dict[str, Any]] = Field(
        description="Overlays on the sections above, chosen in the form or by --effort."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Params:
        if self.gate.shot not in self.prepare.shots:
            raise ValueError(f"gate.shot: must be one of prepare.shots {list(self.prepare.shots)}")
        for name in self.meta_train.algorithms:
            if name not in self.algorithms:
                raise ValueError(
                    f"meta_train.algorithms: {name!r} is not one of {sorted(self.algorithms)}"
                )
        of_head = {"rmse": "rating", "mae": "rating", "log_loss": "click"}
        if of_head.get(self.gate.metric, self.head) != self.head:
            raise ValueError(
                "gate.metric: log_loss goes with head: click, rmse and mae with head: rating, "
                "recall@10 and ndcg@10 with any"
            )
        number = self.meta_train.negatives.number
        if self.head == ("rating" if number else "ranking"):
            raise ValueError(
                f"meta_train.negatives.number: {number} does not go with head: {self.head}; "
                "ranking needs at least 1, rating 0: an unrated item has no rating"
            )
        return self


S = TypeVar("S", bound=Section)


def parse_section(kind: type[S], raw: Any, where: str) -> S:
    """Check one section.

    Raises:
        ParamsError: names every key at fault as ``where.key``, with its value and what is allowed.
    """
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise ParamsError("\n".join(_explain(kind, e, where) for e in error.errors())) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a mapping.

    Raises:
        ParamsError: the file is missing or is not YAML with a mapping at the top.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: not found; run this in the root of the project") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ParamsError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ParamsError(f"{path}: must hold a mapping of sections")
    return raw


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check ``params.yaml`` except the sections of single algorithms and baselines.

    Raises:
        ParamsError: as :func:`parse_section`.
    """
    return parse_section(Params, read_yaml(path), str(path))


def resolve(
    raw: Mapping[str, Any], effort: str = "standard", overrides: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Apply an effort preset, then dotted ``overrides`` such as ``{"data.name": "dbook"}``.

    Raises:
        ParamsError: an unknown preset or key, or a result that :class:`Params` refuses.
    """
    presets = raw.get("effort", {})
    if effort not in presets:
        raise ParamsError(f"effort: {effort!r} is not one of {sorted(presets)}")
    merged = _merge(dict(raw), presets[effort], f"effort.{effort}")
    for dotted, value in (overrides or {}).items():
        overlay: Any = value
        for part in reversed(dotted.split(".")):
            overlay = {part: overlay}
        merged = _merge(merged, overlay, "")
    parse_section(Params, merged, "params.yaml")
    return merged


def _merge(base: Mapping[str, Any], overlay: Mapping[str, Any], where: str) -> dict[str, Any]:
    merged = dict(base)
    for key, value in overlay.items():
        path = f"{where}.{key}".lstrip(".")
        if key not in base:
            raise ParamsError(
                f"{path}: unknown key; allowed here: {', '.join(sorted(map(str, base)))}"
            )
        old = base[key]
        merged[key] = (
            _merge(old, value, path) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return merged


def _explain(kind: type[BaseModel], error: Any, where: str) -> str:
    """One pydantic error in the words of ``params.yaml``."""
    path = ".".join(str(part) for part in error["loc"])
    key = f"{where}: {path}" if path else where
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed here: {', '.join(_keys(kind, error['loc'][:-1]))}"
    if error["type"] == "missing":
        return f"{key}: is missing"
    message = error["msg"].removeprefix("Value error, ")
    if not path or isinstance(error["input"], dict):
        return f"{key}: {message}"
    return f"{key}: {error['input']!r} is not allowed: {message[0].lower()}{message[1:]}"


def _keys(kind: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    for part in loc:
        field = next(f for name, f in kind.model_fields.items() if part in (name, f.alias))
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return []
        kind = field.annotation
    return sorted(f.alias or name for name, f in kind.model_fields.items())
