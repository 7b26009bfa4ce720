"""Which method is put forward, and which way a metric gains."""

from __future__ import annotations

import pandas as pd
import pytest

from coldstart.evaluation.experiment import candidate, untuned_rival
from coldstart.evaluation.report_parts import cards
from coldstart.params import Params

HIGH, LOW = "popularity", "item_mean"


def _params(params: Params, metric: str) -> Params:
    gate = params.gate.model_copy(update={"metric": metric})
    baselines = {name: params.baselines[name] for name in ("random", "constant", LOW, HIGH)}
    loop = params.meta_train.model_copy(update={"algorithms": ()})
    return params.model_copy(update={"gate": gate, "baselines": baselines, "meta_train": loop})


def _users(params: Params, column: str) -> pd.DataFrame:
    """On validation users ``HIGH`` has the higher numbers, on cold ones the lower."""
    rows = [
        (name, role, user, params.gate.shot, value if role == "validation" else 1 - value)
        for name, value in ((HIGH, 0.9), (LOW, 0.2), ("random", 0.5), ("constant", 0.5))
        for role in ("validation", "cold")
        for user in range(3)
    ]
    frame = pd.DataFrame(rows, columns=["method", "role", "user", "k", column])
    return frame.assign(fold=params.prepare.folds[0], seed=0)


@pytest.mark.parametrize(
    ("metric", "column", "best"),
    [("rmse", "mse", LOW), ("recall@10", "recall@10", HIGH), ("ndcg@10", "ndcg@10", HIGH)],
)
def test_the_candidate_is_the_best_on_validation_users(
    params: Params, metric: str, column: str, best: str
) -> None:
    params = _params(params, metric)
    users = _users(params, column)
    assert candidate(users, params)["method"] == best
    assert untuned_rival(users, params) == best


@pytest.mark.parametrize(("metric", "column", "best"), [("rmse", "mse", 1), ("auc", "auc", 2)])
def test_the_candidate_is_the_best_seed_of_the_first_fold(
    params: Params, metric: str, column: str, best: int
) -> None:
    """In the second fold and on cold users it would be another one."""
    params = _params(params, metric)
    first, second = params.prepare.folds
    values = {0: 0.5, 1: 0.4, 2: 0.6}
    frames = []
    for seed, value in values.items():
        for fold, role, own in (
            (first, "validation", value),
            (second, "validation", 1 - value),
            (first, "cold", 1 - value),
        ):
            rows = _users(params, column)
            rows = rows[(rows["role"] == role) & (rows["method"] == HIGH)]
            frames.append(rows.assign(fold=fold, seed=seed, **{column: own}))
    others = _users(params, column)
    bad = 9.0 if column == "mse" else 0.0
    others = others[others["method"] != HIGH].assign(**{column: bad})
    users = pd.concat([*frames, others], ignore_index=True)
    assert candidate(users, params) == {"method": HIGH, "fold": first, "seed": best}


@pytest.mark.parametrize(("metric", "verdict"), [("rmse", "better"), ("recall@10", "worse")])
def test_the_headline_says_better_where_the_metric_gains(metric: str, verdict: str) -> None:
    """The candidate's number is lower than the reference's by .1."""
    summary = {
        "gate": {"metric": metric, "shot": 5},
        "candidate": {"method": "new"},
        "canaries": [],
        "evaluate": {"confidence": 0.95},
    }
    table = pd.DataFrame(
        [{"method": "new", "metric": metric, "k": 5, "mean": 0.9, "low": 0.8, "high": 1.0}]
    )
    difference = {"mean": -0.1, "low": -0.15, "high": -0.05}
    row = {"table": "vs reference", "metric": metric, "k": 5, "a": "new", **difference}
    gain = cards(summary, table, pd.DataFrame([row]))["gain"]
    assert gain["verdict"] == verdict
    assert gain["mean"] == ("+0.100" if verdict == "better" else "−0.100")
