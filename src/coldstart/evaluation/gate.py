"""Whether a candidate replaces the champion: a pure decision from per-user results.

Nothing here reads a clock or a file: the same results and limits give the same decision, and a
decision is JSON, so that it can be kept with its evidence whether it promotes or not.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from coldstart.errors import GateError
from coldstart.evaluation.leaderboard import compare
from coldstart.evaluation.segments import segment_table
from coldstart.evaluation.significance import gain_sign, squared
from coldstart.params import EvaluateParams, GateParams


@dataclass(frozen=True)
class Check:
    """One condition of a promotion."""

    name: str
    passed: bool
    value: float | None
    limit: float | None
    text: str


@dataclass(frozen=True)
class Decision:
    """What the gate decided and why."""

    promote: bool
    candidate: str
    incumbent: str
    checks: tuple[Check, ...]
    evidence: dict[str, Any]

    @property
    def text(self) -> str:
        """A line per check, for people."""
        verdict = "promote" if self.promote else "keep"
        head = f"{verdict}: {self.candidate} against {self.incumbent}"
        marks = ("no ", "yes")
        return "\n".join(
            [head, *(f"  {marks[check.passed]} {check.text}" for check in self.checks)]
        )

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        return {**asdict(self), "checks": [asdict(check) for check in self.checks]}


@dataclass(frozen=True)
class Contest:
    """Per-user results of both sides on the same cold users, at ``gate.shot``.

    The two names differ (``bayes_head v3``, say), unless the candidate is the best untuned baseline
    itself. ``rows`` has ``method`` (one of the two names), ``user``, ``k`` and the metric columns;
    ``segments`` has ``user`` and a column per segment. Without a champion the incumbent is the
    best untuned baseline (``champion`` False), which a candidate must beat to be the first.
    """

    candidate: str
    incumbent: str
    champion: bool
    rows: pd.DataFrame
    segments: pd.DataFrame


def decide(
    contest: Contest,
    *,
    canaries_ok: bool,
    validation_ok: bool,
    adapt_ms: float,
    gate: GateParams,
    evaluate: EvaluateParams,
    seed: int,
) -> Decision:
    """Compare on the same cold users by the paired bootstrap; promote when every check passes.

    With no champion and the best untuned baseline itself as the candidate there is nothing to beat:
    it is the best that is known, and any champion is better than none.

    Raises:
        GateError: the two sides were not evaluated on the same users at ``gate.shot``.
    """
    _require_same_users(contest, gate)
    difference, improvement = _improvement(contest, gate, evaluate, seed)
    segments, regression = _segments(contest, gate, evaluate, seed)
    checks = (
        improvement,
        regression,
        _flag("canaries", canaries_ok, "the canaries score as theory says", "a canary sings"),
        _flag("validation", validation_ok, "the data passed validation", "the data was refused"),
        _latency(adapt_ms, gate.max_adapt_ms),
    )
    evidence = {
        "metric": gate.metric,
        "k": gate.shot,
        "difference": difference,
        "segments": segments,
        "champion": contest.champion,
        "n_users": int(contest.rows["user"].nunique()),
        "limits": gate.model_dump(),
        "evaluate": evaluate.model_dump(),
        "seed": seed,
    }
    promote = all(check.passed for check in checks)
    return Decision(promote, contest.candidate, contest.incumbent, checks, evidence)


def _require_same_users(contest: Contest, gate: GateParams) -> None:
    sides = {}
    for name in (contest.candidate, contest.incumbent):
        rows = contest.rows[contest.rows["method"] == name]
        if set(rows["k"]) != {gate.shot}:
            raise GateError(f"{name}: has no result at K={gate.shot} alone; evaluate it again")
        sides[name] = set(rows["user"])
    if sides[contest.candidate] != sides[contest.incumbent]:
        raise GateError(
            f"{contest.candidate} and {contest.incumbent} were evaluated on different users; "
            "evaluate both on the cold users of the newest data"
        )


def _improvement(
    contest: Contest, gate: GateParams, evaluate: EvaluateParams, seed: int
) -> tuple[dict[str, float], Check]:
    who = "the champion" if contest.champion else "the best untuned baseline"
    if contest.candidate == contest.incumbent:
        text = f"{contest.candidate} is {who} itself, and the best on validation users"
        zero = {"mean": 0.0, "low": 0.0, "high": 0.0}
        return zero, Check("improvement", not contest.champion, 0.0, gate.min_improvement, text)
    pair = [(contest.candidate, contest.incumbent)]
    if gain_sign(gate.metric) < 0:
        pair = [(contest.incumbent, contest.candidate)]
    row = compare(contest.rows, pair, gate.metric, evaluate, seed).iloc[0]
    found = {key: float(row[key]) for key in ("mean", "low", "high")}
    text = (
        f"{gate.metric} at K={gate.shot} improves on {who} ({contest.incumbent}) by "
        f"{found['mean']:.4f} [{found['low']:.4f}, {found['high']:.4f}]; "
        f"the interval must lie above {gate.min_improvement:g}"
    )
    passed = found["low"] > gate.min_improvement
    return found, Check("improvement", passed, found["low"], gate.min_improvement, text)


def _segments(
    contest: Contest, gate: GateParams, evaluate: EvaluateParams, seed: int
) -> tuple[list[dict[str, Any]], Check]:
    """No segment that is large enough may lose more than the limit, by the mean difference."""
    limit = gate.max_segment_regression
    table = segment_table(
        contest.rows,
        contest.segments,
        metric=gate.metric,
        reference=contest.incumbent,
        resamples=evaluate.resamples,
        confidence=evaluate.confidence,
        seed=seed,
    )
    table = table[table["method"] == contest.candidate].round(6)
    table["gates"] = table["n_users"] >= evaluate.min_segment
    gated = table[table["gates"]]
    rows: list[dict[str, Any]] = [
        {str(k): None if v != v else v for k, v in row.items()}  # NaN is not JSON
        for row in table.to_dict("records")
    ]
    if gated.empty:
        text = f"no segment has {evaluate.min_segment} users"
        return rows, Check("segments", True, None, limit, text)
    worst = gated.sort_values("gain", kind="stable").iloc[0]
    loss = -float(worst["gain"])
    text = (
        f"worst of {len(gated)} segments: {worst['segment']} {worst['level']} "
        f"({worst['n_users']} users) {'loses' if loss > 0 else 'gains'} {abs(loss):.4f}; "
        f"at most {limit:g} may be lost"
    )
    return rows, Check("segments", loss <= limit, loss, limit, text)


def _flag(name: str, passed: bool, good: str, bad: str) -> Check:
    return Check(name, passed, None, None, good if passed else bad)


def _latency(adapt_ms: float, limit: float) -> Check:
    text = f"adapts to a user and ranks the catalogue in {adapt_ms:.2f} ms; at most {limit:g} ms"
    return Check("latency", adapt_ms <= limit, adapt_ms, limit, text)


def per_user(name: str, users: pd.DataFrame, gate: GateParams) -> pd.DataFrame:
    """Rows of one side of a :class:`Contest` from its per-user results, under ``name``."""
    rows = users.loc[users["k"] == gate.shot, ["user", "k", squared(gate.metric)]]
    return rows.assign(method=name)
