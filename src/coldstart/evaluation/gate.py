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
from coldstart.evaluation.metrics import ALL_SHOTS, ERROR, PRIMARY, Metric
from coldstart.evaluation.segments import segment_table
from coldstart.params import EvaluateParams, GateParams, Goal


@dataclass(frozen=True)
class Check:
    """One condition of a promotion."""

    name: str
    passed: bool
    value: float | None
    limit: float | None
    text: str


@dataclass(frozen=True)
class Verdict:
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
    """Per-user results of both sides on the same cold users, at every K.

    The two names differ (``bayes_head v3``, say), unless the candidate is the reference itself.
    ``rows`` has ``method`` (one of the two names), ``user``, ``k`` and the metric columns;
    ``segments`` has ``user`` and a column per segment. Without a champion the incumbent is the
    goal's reference, popularity say (``champion`` False), which a candidate must beat to be the
    first.
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
    goal: Goal,
    gate: GateParams,
    evaluate: EvaluateParams,
    seed: int,
) -> Verdict:
    """Compare on the same cold users by the paired bootstrap; promote when every check passes.

    With no champion and the reference itself as the candidate there is nothing to beat: it is the
    best that is known, and any champion is better than none.

    Raises:
        GateError: the two sides were not evaluated on the same users at the same K.
    """
    _require_same_users(contest)
    primary = PRIMARY[goal]
    difference, improvement = _improvement(contest, primary, gate, evaluate, seed)
    segments, regression = _segments(contest, primary, gate, evaluate, seed)
    checks = (
        improvement,
        *_errors(contest, primary, gate, evaluate, seed),
        regression,
        _flag("canaries", canaries_ok, "the canaries score as theory says", "a canary sings"),
        _flag("validation", validation_ok, "the data passed validation", "the data was refused"),
        _latency(adapt_ms, gate.max_adapt_ms),
    )
    evidence = {
        "metric": primary.name,
        "shots": sorted(int(k) for k in contest.rows["k"].unique()),
        "difference": difference,
        "segments": segments,
        "champion": contest.champion,
        "n_users": int(contest.rows["user"].nunique()),
        "limits": gate.model_dump(),
        "evaluate": evaluate.model_dump(),
        "seed": seed,
    }
    promote = all(check.passed for check in checks)
    return Verdict(promote, contest.candidate, contest.incumbent, checks, evidence)


def _require_same_users(contest: Contest) -> None:
    sides = {}
    for name in (contest.candidate, contest.incumbent):
        rows = contest.rows[contest.rows["method"] == name]
        sides[name] = set(zip(rows["user"], rows["k"], strict=True))
    if not sides[contest.candidate] or sides[contest.candidate] != sides[contest.incumbent]:
        raise GateError(
            f"{contest.candidate} and {contest.incumbent} were evaluated on different users or "
            "support sizes; evaluate both on the cold users of the newest data"
        )


def _improvement(
    contest: Contest, primary: Metric, gate: GateParams, evaluate: EvaluateParams, seed: int
) -> tuple[dict[str, float], Check]:
    who = "the champion" if contest.champion else "the reference"
    if contest.candidate == contest.incumbent:
        text = f"{contest.candidate} is {who} itself, and the best on validation users"
        zero = {"mean": 0.0, "low": 0.0, "high": 0.0}
        return zero, Check("improvement", not contest.champion, 0.0, gate.min_improvement, text)
    found = _gain(contest, primary, evaluate, seed)
    text = (
        f"{primary.name} over all K improves on {who} ({contest.incumbent}) by "
        f"{found['mean']:.4f} [{found['low']:.4f}, {found['high']:.4f}]; "
        f"the interval must lie above {gate.min_improvement:g}"
    )
    passed = found["low"] > gate.min_improvement
    return found, Check("improvement", passed, found["low"], gate.min_improvement, text)


def _gain(contest: Contest, of: Metric, evaluate: EvaluateParams, seed: int) -> dict[str, float]:
    """What the candidate gains, as a mean over all K: ``mean, low, high``; above 0 is better."""
    pair = (contest.candidate, contest.incumbent)
    rows = compare(contest.rows, [pair if of.sign > 0 else pair[::-1]], of, evaluate, seed)
    row = rows[rows["k"] == ALL_SHOTS].iloc[0]
    return {key: float(row[key]) for key in ("mean", "low", "high")}


def _errors(
    contest: Contest, primary: Metric, gate: GateParams, evaluate: EvaluateParams, seed: int
) -> tuple[Check, ...]:
    """The error of what is predicted guards a champion that is chosen by something else.

    An incumbent that predicts nothing of the kind has no error to keep.
    """
    checks = []
    for error in ERROR.values():
        if error == primary or error.per_user_column not in contest.rows:
            continue
        known = contest.rows[contest.rows[error.per_user_column].notna()]
        if known["method"].nunique() < 2:
            continue
        rows = contest.rows[contest.rows["method"] == contest.incumbent]
        means = rows.groupby("k")[error.per_user_column].mean().to_numpy()
        before = float(error.finish(means).mean())
        loss = -_gain(contest, error, evaluate, seed)["mean"] / before if before > 0 else 0.0
        text = (
            f"{error.name} over all K is {abs(loss):.2%} {'above' if loss > 0 else 'below'} "
            f"{before:.4f} of {contest.incumbent}; it may be {gate.max_rating_loss:.2%} above"
        )
        checks.append(
            Check(error.name, loss <= gate.max_rating_loss, loss, gate.max_rating_loss, text)
        )
    return tuple(checks)


def _segments(
    contest: Contest, primary: Metric, gate: GateParams, evaluate: EvaluateParams, seed: int
) -> tuple[list[dict[str, Any]], Check]:
    """No segment that is large enough may lose more than the limit, by the mean difference."""
    limit = gate.max_segment_regression
    table = segment_table(
        contest.rows,
        contest.segments,
        of=primary,
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


def per_user(name: str, users: pd.DataFrame, goal: Goal) -> pd.DataFrame:
    """Rows of one side of a :class:`Contest` from its per-user results, under ``name``."""
    wanted = [PRIMARY[goal], *ERROR.values()]
    columns = dict.fromkeys(m.per_user_column for m in wanted)
    return users[["user", "k", *(c for c in columns if c in users)]].assign(method=name)
