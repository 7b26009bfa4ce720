"""Every method on every fold: canaries, per-user results and the candidate for promotion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from coldstart.baselines.random import Random
from coldstart.data.prepared import Prepared
from coldstart.errors import EvaluationError, ParamsError
from coldstart.evaluation import canaries
from coldstart.evaluation.evaluation_set import EvaluationSet, Role, evaluation_set
from coldstart.evaluation.metrics import ERROR, METRICS, PRIMARY, REFERENCE
from coldstart.evaluation.protocol import Evaluation, evaluate
from coldstart.evaluation.segments import user_segments
from coldstart.evaluation.shuffled_labels import check_shuffled, shuffled_gains
from coldstart.evaluation.summary import Canary, Candidate
from coldstart.methods import (
    CANARIES,
    FittedMethod,
    bundle_folder,
    fitted_methods,
    load_method,
    method_names,
)
from coldstart.models.recommender import Recommender
from coldstart.params import Params
from coldstart.progress import progress

ROLES: tuple[Role, ...] = ("validation", "cold")
_TIE = 6
"""Decimals to which validation scores are compared; equal ones go to the simpler method."""


class Results(NamedTuple):
    """What one evaluation found; all tables derive from it."""

    users: pd.DataFrame  # schema.USER_METRICS and a column per metric
    coverage: pd.DataFrame  # method, fold, seed, k, coverage
    segments: pd.DataFrame  # user and a column per segment, cold users only
    canaries: list[Canary]
    candidate: Candidate


def run_experiment(prepared: Prepared, params: Params) -> Results:
    """Evaluate all methods on validation users, then on the cold ones, which are read once.

    Raises:
        EvaluationError: a canary did better than it can.
        ParamsError: a canary or the reference is not among the baselines.
    """
    for name in (*CANARIES, REFERENCE[params.goal]):
        if name not in params.baselines:
            raise ParamsError(f"baselines.{name}: is missing; every evaluation compares with it")
    fitted = [method for fold in params.prepare.folds for method in fitted_methods(params, fold)]
    sets = {
        (fold, role): evaluation_set(prepared, params, fold, role)
        for fold in params.prepare.folds
        for role in ROLES
    }
    frames: list[pd.DataFrame] = []
    coverage: list[pd.DataFrame] = []
    checks: list[Canary] = []
    for method in progress(fitted, "evaluate"):
        model = load_method(method.folder)
        for role in ROLES:
            target = sets[method.fold, role]
            found = _evaluate(method, model, target, params)
            frames.append(_labelled(method, role, found.users))
            if role == "cold":
                coverage.append(_coverage_rows(method, found))
                if method.name in CANARIES:
                    checks += canaries.check_ranking(
                        method.name, found.users, target, model.n_items
                    )
                    drawn = model.spread * target.unit.scale if isinstance(model, Random) else 0.0
                    checks += canaries.check_error(method.name, found.users, target, drawn)
    users = pd.concat(frames, ignore_index=True)
    require_goal(users, params)
    chosen = candidate(users, params)
    checks.append(_shuffled_check(chosen, [sets[f, "cold"] for f in params.prepare.folds], params))
    canaries.require(checks)
    segments = [user_segments(prepared, fold) for fold in params.prepare.folds]
    return Results(
        users, pd.concat(coverage, ignore_index=True), pd.concat(segments), checks, chosen
    )


def _evaluate(
    method: FittedMethod, model: Recommender, target: EvaluationSet, params: Params
) -> Evaluation:
    try:
        catalogue = target.role == "cold" or PRIMARY[params.goal].kind == "list"
        return evaluate(model, target, params.prepare.shots, catalogue=catalogue)
    except EvaluationError as error:
        raise EvaluationError(
            f"{method.name}, fold {method.fold}, seed {method.seed}: {error}; change its section "
            "of params.yaml, or leave it out"
        ) from error


def require_goal(users: pd.DataFrame, params: Params) -> None:
    """See that the goal can be measured.

    Raises:
        EvaluationError: its metric is undefined for everybody who plays a role.
    """
    measured = users.groupby("role")[PRIMARY[params.goal].per_user_column].count()
    for role in ROLES:
        if not measured[role]:
            raise EvaluationError(
                f"goal: {params.goal}: no {role} user likes anything outside the support, that "
                f"is, rates it data.like = {params.data.like:g} or higher; lower it, or set goal: "
                "rating"
            )


def candidate(users: pd.DataFrame, params: Params) -> Candidate:
    """The best method on validation users over all K, and its best seed in the first fold.

    Equal methods go to the simpler: baselines first, then algorithms, in the order of their tables.
    """
    names = [name for name in method_names(params) if name not in CANARIES]
    worth = _worth(users[users["role"] == "validation"], ["method"], params)
    best = max(names, key=lambda name: (worth[name], -names.index(name)))
    fold = params.prepare.folds[0]
    own = users[(users["method"] == best) & (users["fold"] == fold)]
    seeds = _worth(own[own["role"] == "validation"], ["seed"], params)
    return Candidate(method=best, fold=fold, seed=int(str(seeds.idxmax())))


def _worth(rows: pd.DataFrame, by: list[str], params: Params) -> pd.Series:
    """The goal's metric, averaged over all K and turned so that more is better; ties rounded."""
    primary = PRIMARY[params.goal]
    means = rows.groupby([*by, "k"])[primary.per_user_column].mean()
    finished = pd.Series(primary.finish(means.to_numpy()), means.index)
    return (primary.sign * finished.groupby(by).mean()).round(_TIE)


def _labelled(method: FittedMethod, role: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Per-user results with the columns of ``schema.USER_METRICS`` in front, in its types."""
    rows = rows.astype({"user": "int32", "k": "int16"})
    rows.insert(0, "method", method.name)
    rows.insert(1, "fold", pd.Series(method.fold, index=rows.index, dtype="int8"))
    rows.insert(2, "seed", pd.Series(method.seed, index=rows.index, dtype="int8"))
    rows.insert(3, "role", role)
    return rows


def _coverage_rows(method: FittedMethod, found: Evaluation) -> pd.DataFrame:
    rows = pd.DataFrame({"k": list(found.coverage), "coverage": list(found.coverage.values())})
    return rows.assign(method=method.name, fold=method.fold, seed=method.seed)


def _shuffled_check(chosen: Candidate, targets: Sequence[EvaluationSet], params: Params) -> Canary:
    """The candidate of every fold, fed the support labels of other users."""
    error = ERROR.get(params.head, METRICS["auc"])
    gains = []
    for target in targets:
        model = load_method(bundle_folder(chosen.method, target.fold, chosen.seed))
        gains.append(shuffled_gains(model, target, params.prepare.shots, error, params.seed))
    return check_shuffled(chosen.method, pd.concat(gains), error)
