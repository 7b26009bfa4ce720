"""What ``evaluate`` says besides its tables: what was run, the candidate, the canaries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from coldstart.errors import ArtefactError
from coldstart.evaluation.metrics import PRIMARY, REFERENCE, Metric
from coldstart.params import EvaluateParams, Goal

SUMMARY = "summary.json"


class Candidate(BaseModel):
    """The method that validation users chose, as the bundle of a fold and training seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: str
    fold: int
    seed: int


@dataclass(frozen=True)
class Canary:
    """One check: ``value`` may not be better than ``limit``."""

    canary: str
    metric: str
    k: int | None  # None: pooled over all
    value: float
    expected: float
    limit: float
    ok: bool
    note: str = ""  # what the check can and cannot tell, where that depends on the data


class Summary(BaseModel):
    """The whole; ``summary.json`` of ``artifacts/evaluation``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    dataset: str
    split: str
    head: str
    goal: Goal
    seed: int
    training_seeds: tuple[int, ...]
    folds: tuple[int, ...]
    shots: tuple[int, ...]
    query_size: int
    like: float
    n_users: dict[str, int]  # by role
    methods: tuple[str, ...]
    canary_methods: tuple[str, ...]
    candidate: Candidate
    evaluate: EvaluateParams
    canaries: tuple[Canary, ...]
    data: dict[str, Any]  # summary of the prepared data

    @property
    def primary(self) -> Metric:
        """The metric of the goal."""
        return PRIMARY[self.goal]

    @property
    def reference(self) -> str:
        """The baseline that everything is compared with."""
        return REFERENCE[self.goal]

    @property
    def canaries_ok(self) -> bool:
        """Whether every canary scores as theory says."""
        return all(canary.ok for canary in self.canaries)

    @classmethod
    def load(cls, folder: Path) -> Summary:
        """The inverse of :meth:`save`.

        Raises:
            ArtefactError: it is not there, or another version of the program wrote it.
        """
        path = folder / SUMMARY
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ArtefactError(f"{path}: not found; run `dvc repro evaluate` first") from None
        except ValueError as error:
            raise ArtefactError(
                f"{path}: written by another version of this program ({error}); run "
                "`dvc repro evaluate`"
            ) from None

    def save(self, folder: Path) -> None:
        """Write as JSON; the same content gives the same bytes."""
        text = self.model_dump_json(indent=1)
        (folder / SUMMARY).write_text(text + "\n", encoding="utf-8")
