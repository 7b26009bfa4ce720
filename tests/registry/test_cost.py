"""``coldstart leaderboard --cost``: what is measured here, beside what MLflow has recorded."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from coldstart.cli import app
from coldstart.methods import method_names
from coldstart.params import load_params
from coldstart.registry import cost, runs
from coldstart.registry.cost import Cost
from coldstart.reporting.console import cost_table

STAGE = "meta_train@finetune"
SCHEMA = ["dataset", "split", "method", "k", "metric", "mean", "low", "high", "n_users"]


def _record(client: Any, key: str, seconds: float | None, status: str = "FINISHED") -> str:
    experiment, parent = runs.parent(client, "coldstart-tiny", key)
    child = runs.child(client, experiment, parent, key, STAGE)
    if seconds is not None:
        runs.log(client, child, metrics={"seconds": seconds})
    runs.end(client, child, status)
    return child


def _leaderboard(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["leaderboard", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_costs_are_rows_of_the_same_schema_below_the_others(workspace: Path, client: Any) -> None:
    _record(client, "run-1", 12.5)
    plain = json.loads(_leaderboard("--json"))
    rows = json.loads(_leaderboard("--cost", "--json"))
    assert rows[: len(plain)] == plain
    costs = rows[len(plain) :]
    assert all(list(row) == SCHEMA for row in rows)
    found = {(row["method"], row["metric"]): row for row in costs}
    assert len(found) == len(costs)
    shot = load_params().prepare.shots[-1]
    for name in method_names(load_params()):
        for metric in ("adapt_us", "adapt_us_batched"):
            assert found[name, metric]["mean"] > 0
            assert found[name, metric]["k"] == shot
        assert found[name, "bundle_bytes"]["mean"] > 0
    assert {row["method"] for row in costs} == set(method_names(load_params()))
    assert found["finetune", "train_seconds"] == {
        "dataset": "tiny",
        "split": "random",
        "method": "finetune",
        "k": None,
        "metric": "train_seconds",
        "mean": 12.5,
        "low": None,
        "high": None,
        "n_users": None,
    }
    assert ("bias", "train_seconds") not in found, "pretrain fits all baselines in one stage"


@pytest.mark.parametrize(
    ("seconds", "status"), [(None, "FINISHED"), (3.0, "FAILED")], ids=["restored", "failed"]
)
def test_a_stage_that_was_not_computed_has_no_seconds(
    workspace: Path, client: Any, seconds: float | None, status: str
) -> None:
    _record(client, "run-1", seconds, status)
    (found,) = [c for c in cost.costs_here() if c.method == "finetune"]
    assert found.train_seconds is None


def test_without_any_recorded_run_the_rest_is_measured(workspace: Path) -> None:
    assert all(c.train_seconds is None and c.adapt_us > 0 for c in cost.costs_here())


def test_what_is_unknown_has_no_row() -> None:
    rows = cost.rows([Cost("bias", None, 80.0, 1.25, 2048)], "tiny", "random", 5)
    assert rows[["metric", "k", "mean"]].to_dict("records") == [
        {"metric": "adapt_us", "k": 5, "mean": 80.0},
        {"metric": "adapt_us_batched", "k": 5, "mean": 1.25},
        {"metric": "bundle_bytes", "k": None, "mean": 2048.0},
    ]


def test_the_table_has_a_line_per_method() -> None:
    costs = [Cost("bias", None, 80.0, 1.25, 2048), Cost("maml", 1234.5, 3000.0, 100.0, 102_400)]
    console = Console(width=100, record=True, file=StringIO())
    console.print(cost_table(cost.rows(costs, "tiny", "random", 5)))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["bias", "80", "1.2", "2"] in lines
    assert ["maml", "1,234.5", "3,000", "100.0", "100"] in lines
