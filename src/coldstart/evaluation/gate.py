"""Whether a candidate replaces the champion: pure checks of per-user results.

Nothing here reads a clock or a file: the same results and limits give the same checks, whether they
promote or not. What only a refresh is asked, and what is asked of the data, says
:mod:`coldstart.evaluation.refresh`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from coldstart.errors import GateError
from coldstart.evaluation.leaderboard import compare
from coldstart.evaluation.metrics import ALL_SHOTS, ERROR, PRIMARY, Metric
from coldstart.evaluation.segments import segment_table
from coldstart.params import EvaluateParams, GateParams, Goal


@dataclass(frozen=True)
class Check:
    """One condition of a promotion; ``value`` is None where it has no number or does not apply."""

    name: str
    passed: bool
    value: float | None
    limit: float | None
    text: str


@dataclass(frozen=True)
class Rules:
    """What decides, by which limits."""

    goal: Goal
    gate: GateParams
    evaluate: EvaluateParams
    seed: int  # of resampling

    @property
    def primary(self) -> Metric:
        """The metric of the goal."""
        return PRIMARY[self.goal]


class Findings(NamedTuple):
    """Checks, and what they were made from as JSON values."""

    checks: tuple[Check, ...]
    evidence: dict[str, Any]


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


def compare_recipes(contest: Contest, rules: Rules) -> Findings:
    """Compare on the same cold users by the paired bootstrap.

    With no champion and the reference itself as the candidate there is nothing to beat: it is the
    best that is known, and any champion is better than none.

    Raises:
        GateError: the two sides were not evaluated on the same users at the same K.
    """
    require_same_users(contest)
    difference, improvement = _improvement(contest, rules)
    segments, regression = _segments(contest, rules)
    evidence = {
        "metric": rules.primary.name,
        "shots": sorted(int(k) for k in contest.rows["k"].unique()),
        "difference": difference,
        "segments": segments,
        "champion": contest.champion,
        "n_users": int(contest.rows["user"].nunique()),
        "limits": rules.gate.model_dump(),
        "evaluate": rules.evaluate.model_dump(),
        "seed": rules.seed,
    }
    return Findings((improvement, *error_guard(contest, rules), regression), evidence)


def conditions(
    *, canaries_ok: bool, validation_ok: bool, adapt_ms: float, rules: Rules
) -> tuple[Check, ...]:
    """What is asked of every candidate, whatever it is compared with."""
    return (
        _flag("canaries", canaries_ok, "the canaries score as theory says", "a canary sings"),
        _flag("validation", validation_ok, "the data passed validation", "the data was refused"),
        _latency(adapt_ms, rules.gate.max_adapt_ms),
    )


def require_same_users(contest: Contest) -> None:
    """Refuse to compare what was evaluated on different users."""
    sides = {}
    for name in (contest.candidate, contest.incumbent):
        rows = contest.rows[contest.rows["method"] == name]
        sides[name] = set(zip(rows["user"], rows["k"], strict=True))
    if not sides[contest.candidate] or sides[contest.candidate] != sides[contest.incumbent]:
        raise GateError(
            f"{contest.candidate} and {contest.incumbent} were evaluated on different users or "
            "support sizes; evaluate both on the cold users of the newest data"
        )


def _improvement(contest: Contest, rules: Rules) -> tuple[dict[str, float], Check]:
    gate, primary = rules.gate, rules.primary
    who = "the champion" if contest.champion else "the reference"
    if contest.candidate == contest.incumbent:
        text = f"{contest.candidate} is {who} itself, and the best on validation users"
        zero = {"mean": 0.0, "low": 0.0, "high": 0.0}
        return zero, Check("improvement", not contest.champion, 0.0, gate.min_improvement, text)
    found = gain(contest, primary, rules)
    text = (
        f"{primary.name} over all K improves on {who} ({contest.incumbent}) by "
        f"{found['mean']:.4f} [{found['low']:.4f}, {found['high']:.4f}]; "
        f"the interval must lie above {gate.min_improvement:g}"
    )
    passed = found["low"] > gate.min_improvement
    return found, Check("improvement", passed, found["low"], gate.min_improvement, text)


def gain(contest: Contest, of: Metric, rules: Rules) -> dict[str, float]:
    """What the candidate gains, as a mean over all K: ``mean, low, high``; above 0 is better."""
    pair = (contest.candidate, contest.incumbent)
    rows = compare(
        contest.rows, [pair if of.sign > 0 else pair[::-1]], of, rules.evaluate, rules.seed
    )
    row = rows[rows["k"] == ALL_SHOTS].iloc[0]
    return {key: float(row[key]) for key in ("mean", "low", "high")}


def error_guard(contest: Contest, rules: Rules) -> tuple[Check, ...]:
    """The error of what is predicted guards a champion that is chosen by something else.

    An incumbent that predicts nothing of the kind has no error to keep.
    """
    checks, limit = [], rules.gate.max_rating_loss
    for error in ERROR.values():
        if error == rules.primary or error.per_user_column not in contest.rows:
            continue
        known = contest.rows[contest.rows[error.per_user_column].notna()]
        if known["method"].nunique() < 2:
            continue
        rows = contest.rows[contest.rows["method"] == contest.incumbent]
        means = rows.groupby("k")[error.per_user_column].mean().to_numpy()
        before = float(error.finish(means).mean())
        loss = -gain(contest, error, rules)["mean"] / before if before > 0 else 0.0
        text = (
            f"{error.name} over all K is {abs(loss):.2%} {'above' if loss > 0 else 'below'} "
            f"{before:.4f} of {contest.incumbent}; it may be {limit:.2%} above"
        )
        checks.append(Check(error.name, loss <= limit, loss, limit, text))
    return tuple(checks)


def _segments(contest: Contest, rules: Rules) -> tuple[list[dict[str, Any]], Check]:
    """No segment that is large enough may lose more than the limit, by the mean difference."""
    limit, evaluate = rules.gate.max_segment_regression, rules.evaluate
    table = segment_table(
        contest.rows,
        contest.segments,
        of=rules.primary,
        reference=contest.incumbent,
        resamples=evaluate.resamples,
        confidence=evaluate.confidence,
        seed=rules.seed,
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
