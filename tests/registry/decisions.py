"""Decisions that were never measured, and their versions."""

from __future__ import annotations

from typing import Any

from coldstart.evaluation.gate import Check
from coldstart.registry import promotion
from coldstart.registry.decision import Candidate, Decision, Incumbent

MODEL = "coldstart-x"


def decision(sha: str, against: str | None, *, promote: bool = True) -> Decision:
    candidate = Candidate(
        method="bayes_head", fold=0, seed=0, recipe="r", proof_sha256="p", sha256=sha
    )
    champion = None
    if against is not None:
        champion = Incumbent(version=against, method="ridge", recipe="", sha256="")
    return Decision(
        model=MODEL,
        run_key=f"run-{sha}",
        kind="first" if champion is None else "challenge",
        candidate=candidate,
        champion=champion,
        against="popularity",
        promote=promote,
        checks=(
            Check("improvement", promote, None, None, "it is better" if promote else "it is worse"),
        ),
    )


def registered(client: Any, made: Decision) -> str:
    return promotion.register(client, made, "", "somewhere").version
