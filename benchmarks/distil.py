"""The student beside its teacher: time to adapt, error on cold users, and what each term does.

Reads the bundles of the last run (`dvc repro`, or a DAG run on this machine), all its folds and
seeds. Time is that of `adapt.py`: one cold user after another with five ratings, adapt, score every
item, return the ten best; medians over users and alternating rounds, one thread. RMSE is that of
the evaluation: cold users, K of ``prepare.shots``, predictions clipped to the scale.

``--terms`` distils again without one term of the loss at a time, and shows by how much the RMSE
lies above the teacher's then, on validation users.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from coldstart import layout
from coldstart.combinations import check_params
from coldstart.combinations.base import Ingredients
from coldstart.combinations.student import Student, StudentParams
from coldstart.data.prepared import Prepared
from coldstart.data.spare import spare_choices
from coldstart.evaluation.evaluation_set import Role, evaluation_set
from coldstart.evaluation.protocol import evaluate
from coldstart.methods import bundle_folder, load_method
from coldstart.models.backbone import Backbone
from coldstart.models.bundle import Bundle
from coldstart.models.recommender import Recommender
from coldstart.params import Params, load_params
from serving import SHOTS, Server, check, measure, with_coldstart

TERMS = ("soft", "hard", "alignment")
Make = Callable[[int, int], Recommender]  # fold and seed


def rmse(make: Make, prepared: Prepared, params: Params, role: Role) -> dict[str, float]:
    """By K: root of the mean over folds, seeds and users of the squared error."""
    total: dict[int, list[float]] = {k: [] for k in params.prepare.shots}
    for fold in params.prepare.folds:
        target = evaluation_set(prepared, params, fold, role)
        for seed in params.meta_train.seeds:
            found = evaluate(make(fold, seed), target, params.prepare.shots, catalogue=False).users
            for k, errors in found.groupby("k")["mse"]:
                total[int(str(k))] += errors.tolist()
    return {str(k): (sum(errors) / len(errors)) ** 0.5 for k, errors in total.items()}


def above(errors: dict[str, float], reference: dict[str, float]) -> dict[str, float]:
    return {k: errors[k] - reference[k] for k in reference}


def fitted(name: str) -> Make:
    return lambda fold, seed: load_method(bundle_folder(name, fold, seed))


def without(term: str, section: StudentParams, prepared: Prepared, params: Params) -> Make:
    """The student that learns from the other terms."""
    other = section.model_copy(update={term: 0.0})

    def make(fold: int, seed: int) -> Recommender:
        backbone = Bundle.load(layout.fold_folder(layout.BACKBONE, fold))
        teacher = fitted(section.teacher)(fold, seed)
        ingredients = Ingredients(
            methods={section.teacher: teacher},
            history=prepared.history(fold),
            validation=spare_choices(prepared, fold),
            backbone=Backbone.from_bundle(backbone),
            params=params,
            seed=seed,
        )
        return Student.make(other, ingredients)

    return make


def times(teacher: str, prepared: Prepared, params: Params, rounds: int) -> dict[str, float]:
    """Microseconds per user, alone."""
    fold, seed = params.prepare.folds[0], params.meta_train.seeds[0]
    support = prepared.eval_episodes(fold, "cold").support.first(SHOTS)
    servers: dict[str, Server] = {
        role: with_coldstart(fitted(name)(fold, seed), support)
        for role, name in (("teacher", teacher), ("student", "student"))
    }
    check(servers, support)
    return {name: x.alone for name, x in measure(servers, support.n_users, rounds).items()}


def results(rounds: int, terms: bool) -> dict[str, Any]:
    params = load_params(layout.PARAMS)
    section = check_params(params)["student"]
    assert isinstance(section, StudentParams)
    prepared = Prepared.load(layout.PREPARED)
    speed = times(section.teacher, prepared, params, rounds)
    cold = {
        role: rmse(fitted(name), prepared, params, "cold")
        for role, name in (("teacher", section.teacher), ("student", "student"))
    }
    found: dict[str, Any] = {
        "teacher": section.teacher,
        "microseconds": speed,
        "ratio": speed["student"] / speed["teacher"],
        "rmse": cold,
        "above_teacher": above(cold["student"], cold["teacher"]),
    }
    if terms:
        known = rmse(fitted(section.teacher), prepared, params, "validation")
        whole = rmse(fitted("student"), prepared, params, "validation")
        found["above_teacher_on_validation"] = {"all terms": above(whole, known)} | {
            f"without {term}": above(
                rmse(without(term, section, prepared, params), prepared, params, "validation"),
                known,
            )
            for term in TERMS
        }
    return found


def table(found: dict[str, Any]) -> Table:
    shown = Table("RMSE", *(f"K={k}" for k in found["rmse"]["teacher"]))
    rows = found["rmse"] | {"above the teacher": found["above_teacher"]}
    rows |= found.get("above_teacher_on_validation", {})
    for name, errors in rows.items():
        shown.add_row(name, *(f"{error:.4f}" for error in errors.values()))
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--terms", action="store_true", help="distil without each term, too")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with torch.no_grad():
        found = results(options.rounds, options.terms)
    if options.json:
        print(json.dumps(found))
        return
    console = Console()
    console.print(table(found))
    speed = found["microseconds"]
    console.print(
        f"{found['teacher']} {speed['teacher']:.0f} us, student {speed['student']:.0f} us: "
        f"{found['ratio']:.2f} of the teacher's time"
    )


if __name__ == "__main__":
    main()
