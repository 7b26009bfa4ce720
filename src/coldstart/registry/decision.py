"""What the gate decided, on what grounds: one document, from the gate to promotion.

It travels as JSON, through a DAG and into the version that it lets in. Loads neither mlflow nor
torch.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, computed_field

from coldstart.errors import GateError
from coldstart.evaluation.gate import Check

Kind = Literal["first", "challenge", "refresh"]
"""Against the reference, as there is no champion to compare with; another recipe than the
champion's; or the champion's own recipe, on other data."""
_MARKS = ("no ", "yes")


class Candidate(BaseModel):
    """The recipe that is proposed, with the digests of its two bundles."""

    model_config = ConfigDict(frozen=True)
    method: str
    fold: int
    seed: int  # of training
    recipe: str  # digest
    proof_sha256: str  # the bundle that was evaluated: it has not seen its cold users
    sha256: str  # the bundle that ships: it has seen everybody


class Incumbent(BaseModel):
    """The champion that the decision was made against."""

    model_config = ConfigDict(frozen=True)
    version: str
    method: str
    recipe: str  # digest; empty where the version was registered without its recipe
    sha256: str


class Decision(BaseModel):
    """Whether a candidate is to replace the champion, and why."""

    model_config = ConfigDict(frozen=True)
    model: str  # the registered model
    run_key: str
    kind: Kind
    candidate: Candidate
    champion: Incumbent | None
    against: str  # what it was compared with, for people
    promote: bool
    checks: tuple[Check, ...]
    evidence: dict[str, Any] = {}  # kept with the run and the version; does not travel
    version: str | None = None  # once registered

    @computed_field  # type: ignore[prop-decorator]
    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the champion stays; empty if it does not."""
        return tuple(check.text for check in self.checks if not check.passed)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """One line for people."""
        verdict = "promote" if self.promote else "keep the champion"
        told = self.reasons or tuple(check.text for check in self.checks)
        name = self.candidate.method
        return f"{self.kind}: {verdict}: {name} against {self.against}: {'; '.join(told)}"

    @property
    def text(self) -> str:
        """A line per check, for people."""
        verdict = "promote" if self.promote else "keep"
        lines = [f"{self.kind}: {verdict}: {self.candidate.method} against {self.against}"]
        lines += [f"  {_MARKS[check.passed]} {check.name}: {check.text}" for check in self.checks]
        return "\n".join(lines)

    @property
    def incumbent_version(self) -> str | None:
        """The champion when it was made; another one since makes it stale."""
        return None if self.champion is None else self.champion.version

    @property
    def key(self) -> str:
        """Identity: the same run, candidate and champion give the same version."""
        parts = [self.model, self.run_key, self.candidate.sha256, self.incumbent_version or ""]
        return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()

    def travelling(self) -> str:
        """As JSON on one line, without the evidence."""
        return self.model_dump_json(exclude={"evidence"})

    @classmethod
    def read(cls, path: Path) -> Decision:
        """Read what ``coldstart gate`` printed.

        Raises:
            GateError: it is not the JSON of a decision.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise GateError(f"{path}: is not a decision of `coldstart gate`: {error}") from error
