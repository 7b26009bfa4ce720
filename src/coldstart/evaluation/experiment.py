"""Every method on every fold: canaries, per-user results and the candidate for promotion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from coldstart.data.prepared import Prepared
from coldstart.errors import EvaluationError, ParamsError
from coldstart.evaluation import canaries
from coldstart.evaluation.canaries import Canary
from coldstart.evaluation.methods import (
    CANARIES,
    REFERENCE,
    FittedMethod,
    bundle_folder,
    fitted_methods,
    load_method,
    method_names,
    untuned_names,
)
from coldstart.evaluation.protocol import (
    Evaluation,
    EvaluationSet,
    evaluate,
    evaluation_set,
)
from coldstart.evaluation.segments import user_segments
from coldstart.evaluation.shuffled_labels import check_shuffled, shuffled_gains
from coldstart.evaluation.significance import gain_sign, squared
from coldstart.models.recommender import Recommender
from coldstart.params import Params
from coldstart.progress import progress
from coldstart.schema import CATALOGUE_METRICS

_TIE = 6
"""Decimals to which validation scores are compared; equal ones go to the simpler method."""


class Results(NamedTuple):
    """What one evaluation found; all tables derive from it."""

    users: pd.DataFrame  # schema.USER_METRICS and a column per metric
    coverage: pd.DataFrame  # method, fold, seed, k, coverage
    segments: pd.DataFrame  # user and a column per segment, cold users only
    canaries: list[Canary]
    candidate: dict[str, Any]  # method, fold, seed


def run_experiment(prepared: Prepared, params: Params) -> Results:
    """Evaluate all methods on validation users, then on the cold ones, which are read once.

    Raises:
        EvaluationError: a canary did better than it can.
        ParamsError: a canary or the reference is not among the baselines.
    """
    for name in (*CANARIES, REFERENCE):
        if name not in params.baselines:
            raise ParamsError(f"baselines.{name}: is missing; every evaluation compares with it")
    fitted = [method for fold in params.prepare.folds for method in fitted_methods(params, fold)]
    sets = {
        (fold, role): evaluation_set(prepared, params, fold, role)
        for fold in params.prepare.folds
        for role in ("validation", "cold")
    }
    frames: list[pd.DataFrame] = []
    coverage: list[pd.DataFrame] = []
    checks: list[Canary] = []
    for method in progress(fitted, "evaluate"):
        model = load_method(method.folder)
        for role in ("validation", "cold"):
            target = sets[method.fold, role]
            found = _evaluate(method, model, target, params)
            frames.append(_labelled(method, role, found.users))
            if role == "cold":
                coverage.append(_coverage_rows(method, found))
                if method.name in CANARIES:
                    checks += canaries.check_ranking(
                        method.name, found.users, target, model.n_items
                    )
                    checks += canaries.check_error(method.name, found.users, target)
    users = pd.concat(frames, ignore_index=True)
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
        catalogue = target.role == "cold" or params.gate.metric in CATALOGUE_METRICS
        return evaluate(model, target, params.prepare.shots, catalogue=catalogue)
    except EvaluationError as error:
        raise EvaluationError(
            f"{method.name}, fold {method.fold}, seed {method.seed}: {error}; change its section "
            "of params.yaml, or leave it out"
        ) from error


def candidate(users: pd.DataFrame, params: Params) -> dict[str, Any]:
    """The best method on validation users, and its best seed in the first fold.

    Equal methods go to the simpler: baselines first, then algorithms, in the order of their tables.
    """
    names = [name for name in method_names(params) if name not in CANARIES]
    best = _best_on_validation(users, names, params)
    rows = _validation_rows(users, params)
    fold = params.prepare.folds[0]
    seeds = rows[(rows["method"] == best) & (rows["fold"] == fold)].groupby("seed")["worth"].mean()
    return {"method": best, "fold": fold, "seed": int(str(seeds.round(_TIE).idxmax()))}


def untuned_rival(users: pd.DataFrame, params: Params) -> str:
    """The best untuned baseline on validation users: what the first champion must beat."""
    return _best_on_validation(users, untuned_names(params), params)


def _best_on_validation(users: pd.DataFrame, names: Sequence[str], params: Params) -> str:
    """By the mean over users at ``gate.shot``; of equal ones the first of ``names``."""
    worth = _validation_rows(users, params).groupby("method")["worth"].mean().round(_TIE)
    return max(names, key=lambda name: (worth[name], -names.index(name)))


def _validation_rows(users: pd.DataFrame, params: Params) -> pd.DataFrame:
    """At ``gate.shot``, with ``worth``: the gate's metric, turned so that more is better."""
    rows = users[(users["role"] == "validation") & (users["k"] == params.gate.shot)]
    metric = params.gate.metric
    return rows.assign(worth=gain_sign(metric) * rows[squared(metric)])


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


def _shuffled_check(
    chosen: dict[str, Any], targets: Sequence[EvaluationSet], params: Params
) -> Canary:
    """The candidate of every fold, fed the support labels of other users."""
    metric = {"rating": "mse", "click": "log_loss", "ranking": "auc"}[params.head]
    gains = []
    for target in targets:
        model = load_method(bundle_folder(chosen["method"], target.fold, chosen["seed"]))
        shots = params.prepare.shots
        gains.append(shuffled_gains(model, target, shots, metric, params.seed))
    return check_shuffled(chosen["method"], pd.concat(gains), metric)
