"""The objective: one number, computed the same way for every method, from validation users only."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest

from coldstart import layout
from coldstart.baselines import BASELINES
from coldstart.combinations.blend import Blend
from coldstart.data.prepared import Prepared
from coldstart.data.spare import spare_episodes
from coldstart.errors import ArtefactError, ParamsError
from coldstart.methods import bundle_folder
from coldstart.models.backbone import Backbone
from coldstart.models.backbones import BACKBONES
from coldstart.models.bundle import Bundle
from coldstart.models.recommender import Recommender
from coldstart.params import Params
from coldstart.tuning.objective import JUDGE, Objective
from coldstart.tuning.target import find_target
from lists_asked import assert_unjudged, lists_asked

SHOTS = (0, 1, 3, 5, 10)


def _no_report(step: int, value: float) -> None:
    pass


def _objective(
    name: str, params: Params, prepared: Prepared, folds: tuple[int, ...] = (0,)
) -> float:
    target = find_target(name, params)
    return Objective(target, params, prepared, folds)(target.at({}), _no_report)


def _backbone(fold: int) -> Backbone:
    return Backbone.from_bundle(Bundle.load(layout.fold_folder(layout.BACKBONE, fold)))


def _fitted(
    name: str, params: Params, prepared: Prepared, fold: int, backbone: Backbone
) -> Recommender:
    section: Any = find_target(name, params).at({})
    episodes = prepared.eval_episodes(fold, "validation")
    return BASELINES[name].fit(prepared.history(fold), backbone, episodes, section, params.seed)


def _squared_error(method: Recommender, prepared: Prepared, fold: int) -> float:
    """Mean over users and shots, in numpy."""
    episodes, unit = prepared.eval_episodes(fold, "validation"), prepared.unit(fold)
    truth = unit.outside(episodes.targets_BQ).numpy()
    found = []
    for k in SHOTS:
        state = method.adapt(episodes.support.first(k))
        mean = unit.outside(method.score(state, episodes.items_BQ).mean).numpy()
        found.append(((np.clip(mean, 1, 5) - truth) ** 2).mean())
    return float(np.mean(found))


def test_a_baseline_is_judged_by_its_squared_error_over_folds_and_shots(
    params: Params, prepared: Prepared
) -> None:
    folds = (0, 1)
    errors = [
        _squared_error(_fitted("bias", params, prepared, fold, _backbone(fold)), prepared, fold)
        for fold in folds
    ]
    assert errors[0] != pytest.approx(errors[1], rel=1e-3)
    assert _objective("bias", params, prepared, folds) == pytest.approx(
        np.sqrt(np.mean(errors)), rel=1e-6
    )


def test_a_backbone_is_judged_by_ridge_on_it(params: Params, prepared: Prepared) -> None:
    shutil.rmtree(layout.BACKBONE)  # it needs none
    history, episodes = prepared.history(1), prepared.eval_episodes(1, "validation")
    backbone = BACKBONES["mf"](history, episodes, params.pretrain, params.seed)
    error = _squared_error(_fitted(JUDGE, params, prepared, 1, backbone), prepared, 1)
    assert _objective("backbone", params, prepared, (1,)) == pytest.approx(error**0.5, rel=1e-6)
    target = find_target("backbone", params)
    other = Objective(target, params, prepared, [1])(
        target.at({"item_penalty": 50.0, "factors": 2}), _no_report
    )
    assert other != pytest.approx(error**0.5, rel=1e-4), "the tried section must reach the fit"


def test_a_combination_is_judged_as_made_from_the_fitted_methods(
    params: Params, prepared: Prepared
) -> None:
    blend = {"members": ["bias", "ridge"], "shrinkage": 0.01}
    params = params.model_copy(update={"combine": {"blend": blend}})
    members = {}
    for name in ("bias", "ridge"):
        members[name] = _fitted(name, params, prepared, 0, _backbone(0))
        members[name].to_bundle().save(bundle_folder(name, 0, 0))
    for shrinkage in (0.01, 0.09):
        made = Blend.fit(members, spare_episodes(prepared, 0), shrinkage)
        target = find_target("blend", params)
        found = Objective(target, params, prepared, [0])(
            target.at({"shrinkage": shrinkage}), _no_report
        )
        assert found == pytest.approx(_squared_error(made, prepared, 0) ** 0.5, rel=1e-6)


def test_lists_of_a_combination_leave_out_what_a_trial_is_judged_by(
    params: Params, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = params.combine["list"] | {"rating": "ridge", "draws": 1}
    params = params.model_copy(update={"combine": {"list": section}})
    for fold in (0, 1):
        method = _fitted("ridge", params, prepared, fold, _backbone(fold))
        method.to_bundle().save(bundle_folder("ridge", fold, 0))
    asked = lists_asked(monkeypatch)
    _objective("list", params, prepared, (0, 1))
    for fold, lists in zip((0, 1), asked, strict=True):
        assert_unjudged(lists, prepared, fold)


def test_a_combination_of_methods_that_the_run_does_not_fit_is_refused(
    params: Params, prepared: Prepared
) -> None:
    blend = {"members": ["maml", "reptile"], "shrinkage": 0.01}
    training = params.meta_train.model_copy(update={"algorithms": ("bayes_head",)})
    changed = {"combine": {"blend": blend}, "meta_train": training}
    params = params.model_copy(update=changed)
    with pytest.raises(ParamsError, match=r"combine\.blend: made from methods that this run does"):
        _objective("blend", params, prepared)


def test_a_combination_without_its_bundles_names_what_is_missing(
    params: Params, prepared: Prepared
) -> None:
    with pytest.raises(ArtefactError, match="bayes_head"):
        _objective("blend", params, prepared)


def test_a_learner_is_judged_after_training_and_watched_on_the_way(
    params: Params, prepared: Prepared
) -> None:
    target = find_target("maml", params)
    objective = Objective(target, params, prepared, [0, 1])
    seen: list[tuple[int, float]] = []
    value = objective(target.at({"outer_rate": 0.01}), lambda s, v: seen.append((s, v)))
    steps = [step for step, _ in seen]
    per_fold = objective.reports_per_fold
    assert per_fold == 24 / 3 + 2
    assert steps == sorted(set(steps))
    first = [v for s, v in seen if s < per_fold]
    second = [v for s, v in seen if s >= per_fold]
    assert first[-1] == first[-2], "the end of a fold is its best theta"
    assert first[-1] < first[0], "training must help"
    assert second[-1] == value
    alone = [
        Objective(target, params, prepared, [fold])(target.at({"outer_rate": 0.01}), _no_report)
        for fold in (0, 1)
    ]
    assert first[-1] == alone[0]
    assert value == pytest.approx(np.sqrt(np.mean(np.square(alone))), rel=1e-12)


def test_a_training_can_be_given_up_on_the_way(params: Params, prepared: Prepared) -> None:
    target = find_target("maml", params)
    steps: list[int] = []

    def report(step: int, value: float) -> None:
        steps.append(step)
        if step == 2:
            raise optuna.TrialPruned

    with pytest.raises(optuna.TrialPruned):
        Objective(target, params, prepared, [0])(target.at({}), report)
    assert steps == [0, 1, 2]


@pytest.mark.parametrize("name", ["bias", "ridge", "maml", "finetune", "backbone"])
def test_cold_users_are_never_looked_at(name: str, params: Params, prepared: Prepared) -> None:
    def flipped(role: str) -> Prepared:
        users = prepared.role_users(0, role)
        tables = {}
        for part in ("ratings", "episodes"):
            table: pd.DataFrame = getattr(prepared, part).copy()
            rows = table["user"].isin(users)
            for column in ("rating", "target"):
                table.loc[rows, column] = 6 - table.loc[rows, column]
            tables[part] = table
        return replace(prepared, **tables)

    expected = _objective(name, params, prepared)
    assert _objective(name, params, flipped("cold")) == expected
    assert _objective(name, params, flipped("validation")) != expected


@pytest.mark.parametrize("name", ["bias", "maml"])
def test_clicks_are_judged_by_log_loss(name: str, params: Params, prepared: Prepared) -> None:
    tables = {}
    for part in ("ratings", "episodes"):
        table = getattr(prepared, part).copy()
        tables[part] = table.assign(target=(table["rating"] >= 4).astype("float32"))
    likes = float(tables["episodes"]["target"].mean())
    entropy = -likes * np.log(likes) - (1 - likes) * np.log(1 - likes)
    click = params.model_copy(update={"head": "click"})
    found = _objective(
        name, click, replace(prepared, **tables, summary=prepared.summary | {"head": "click"})
    )
    assert np.isfinite(found)
    assert found != pytest.approx(_objective(name, params, prepared), rel=1e-3)
    if name == "bias":
        assert 0.5 * entropy < found < 1.1 * entropy


def test_a_fold_without_a_backbone_says_what_to_run(params: Params, prepared: Prepared) -> None:
    shutil.rmtree(Path(layout.fold_folder(layout.BACKBONE, 1)))
    with pytest.raises(ArtefactError, match=r"fold-1: not found; run `dvc repro -s pretrain`"):
        _objective("bias", params, prepared, (0, 1))


def test_a_fold_that_was_not_prepared_says_what_to_run(params: Params, prepared: Prepared) -> None:
    with pytest.raises(ArtefactError, match=r"fold 2 is not in it.*dvc repro -s prepare pretrain"):
        _objective("bias", params, prepared, (2,))
