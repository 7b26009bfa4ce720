"""Which method is put forward, and which way a metric gains."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from coldstart.data.prepared import Prepared
from coldstart.errors import EvaluationError
from coldstart.evaluation import experiment
from coldstart.evaluation.evaluation_set import Role, evaluation_set
from coldstart.evaluation.experiment import candidate, require_goal
from coldstart.evaluation.metrics import ALL_SHOTS, PRIMARY
from coldstart.evaluation.summary import Candidate, Summary
from coldstart.methods import FittedMethod
from coldstart.params import Goal, Params
from coldstart.reporting.parts import cards
from coldstart.schema import USER_METRICS

from .conftest import Fixed

HIGH, LOW = "popularity", "item_mean"


def _params(params: Params, goal: Goal) -> Params:
    baselines = {name: params.baselines[name] for name in ("random", "constant", LOW, HIGH)}
    loop = params.meta_train.model_copy(update={"algorithms": ()})
    update = {"goal": goal, "baselines": baselines, "meta_train": loop}
    return params.model_copy(update=update)


def _users(column: str) -> pd.DataFrame:
    """On validation users ``HIGH`` has the higher numbers but at one K, on cold ones the lower."""
    rows = [
        (name, role, user, k, (value if k else 0.6) if role == "validation" else 1 - value)
        for name, value in ((HIGH, 0.9), (LOW, 0.2), ("random", 0.5), ("constant", 0.5))
        for role in ("validation", "cold")
        for user in range(3)
        for k in (0, 1, 5)
    ]
    frame = pd.DataFrame(rows, columns=["method", "role", "user", "k", column])
    at_first = frame["k"].eq(0) & frame["role"].eq("validation")
    frame.loc[at_first & frame["method"].eq(LOW), column] = 0.7
    return frame.assign(fold=0, seed=0)


@pytest.mark.parametrize(
    ("goal", "column", "best"),
    [("rating", "mse", LOW), ("list", "list_recall@10", HIGH), ("click", "log_loss", LOW)],
)
def test_the_candidate_is_the_best_on_validation_users_over_all_k(
    params: Params, goal: Goal, column: str, best: str
) -> None:
    assert candidate(_users(column), _params(params, goal)).method == best


@pytest.mark.parametrize("role", ["validation", "cold"])
def test_a_goal_that_nobody_of_a_role_can_reach_is_said(params: Params, role: str) -> None:
    rows = {"role": ["validation", "cold"], "list_recall@10": [0.5, 0.5]}
    users = pd.DataFrame(rows)
    require_goal(users, _params(params, "list"))
    users.loc[users["role"] == role, "list_recall@10"] = float("nan")
    with pytest.raises(EvaluationError, match=f"no {role} user likes anything.*data.like = 4 or"):
        require_goal(users, _params(params, "list"))


def test_results_begin_with_whose_they_are() -> None:
    rows = pd.DataFrame({"user": [3, 4], "key": ["a", "b"], "k": [0, 0], "mse": [1.0, 2.0]})
    found = experiment._labelled(FittedMethod("m", 2, 1, Path()), "cold", rows)
    assert found.dtypes.drop("mse").astype(str).to_dict() == USER_METRICS
    assert found.columns.tolist() == [*USER_METRICS, "mse"]
    assert found.iloc[1].tolist() == ["m", 2, 1, "cold", 4, "b", 0, 2.0]


def test_equal_methods_go_to_the_simpler(params: Params) -> None:
    users = _users("list_recall@10").assign(**{"list_recall@10": 0.5})
    assert candidate(users, _params(params, "list")).method == HIGH


def test_of_a_method_its_best_seed_in_the_first_fold_is_put_forward(params: Params) -> None:
    first = _users("list_recall@10")
    better = first.assign(**{"list_recall@10": first["list_recall@10"] + 0.01}, seed=1)
    elsewhere = first.assign(**{"list_recall@10": 1.0}, seed=2, fold=1)
    found = candidate(pd.concat([first, better, elsewhere]), _params(params, "list"))
    assert (found.method, found.fold, found.seed) == (HIGH, 0, 1)
    error = candidate(
        pd.concat([first, better, elsewhere]).rename(columns={"list_recall@10": "mse"}),
        _params(params, "rating"),
    )
    assert error.seed == 0


def test_the_seeds_of_other_methods_have_no_say(params: Params) -> None:
    """The second seed is the worse of the best method, and by far the best of all others."""
    first = _users("list_recall@10")
    change = first["method"].eq(HIGH).map({True: -0.01, False: 0.1})
    second = first.assign(seed=1, **{"list_recall@10": first["list_recall@10"] + change})
    found = candidate(pd.concat([first, second]), _params(params, "list"))
    assert (found.method, found.seed) == (HIGH, 0)


@pytest.mark.parametrize(
    ("role", "goal", "ranked"),
    [("cold", "list", True), ("cold", "rating", True), ("validation", "list", True),
     ("validation", "rating", False)],
)  # fmt: skip
def test_validation_users_get_lists_where_methods_are_chosen_by_them(
    prepared: Prepared, params: Params, role: Role, goal: Goal, ranked: bool
) -> None:
    method, model = FittedMethod("m", 0, 0, Path()), Fixed(torch.linspace(1, 5, 61))
    target = evaluation_set(prepared, params, 0, role)
    found = experiment._evaluate(method, model, target, _params(params, goal))
    assert ("list_recall@10" in found.users) is ranked
    assert bool(found.coverage) is ranked


@pytest.mark.parametrize(("goal", "verdict"), [("rating", "better"), ("list", "worse")])
def test_the_headline_says_better_where_the_metric_gains(
    params: Params, goal: Goal, verdict: str
) -> None:
    """The candidate's number is lower than the reference's by .1."""
    summary = Summary(
        dataset="tiny", split="random", head="rating", goal=goal, seed=0, training_seeds=(0,),
        folds=(0,), shots=(0, 5), query_size=5, like=4.0, n_users={"cold": 3}, methods=("new",),
        canary_methods=(), candidate=Candidate(method="new", fold=0, seed=0),
        evaluate=params.evaluate, canaries=(), data={},
    )  # fmt: skip
    at = {"metric": PRIMARY[goal].name, "k": ALL_SHOTS}
    table = pd.DataFrame([{"method": "new", **at, "mean": 0.9, "low": 0.8, "high": 1.0}])
    difference = {"mean": -0.1, "low": -0.15, "high": -0.05}
    row = {"table": "vs reference", **at, "a": "new", **difference}
    gain = cards(summary, table, pd.DataFrame([row]))["gain"]
    assert gain["verdict"] == verdict
    assert gain["mean"] == ("+0.100" if verdict == "better" else "−0.100")
