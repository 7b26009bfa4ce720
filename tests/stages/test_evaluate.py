"""The stage end to end on the tiny dataset, its commands, and canaries that stop it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from typer.testing import CliRunner

from coldstart import layout
from coldstart.baselines import BASELINES
from coldstart.cli import app
from coldstart.data.prepared import Prepared
from coldstart.errors import ArtefactError, EvaluationError, ParamsError
from coldstart.evaluation import canaries, experiment, shuffled_labels
from coldstart.evaluation import leaderboard as board
from coldstart.evaluation.canaries import check_error
from coldstart.evaluation.evaluation_set import evaluation_set
from coldstart.evaluation.metrics import METRICS, Metric
from coldstart.evaluation.protocol import evaluate
from coldstart.evaluation.summary import Canary, Summary
from coldstart.methods import bundle_folder, load_method
from coldstart.models.bundle import Bundle
from coldstart.params import load_params
from coldstart.stages.evaluate import run

ROOT = Path(__file__).parents[2]
NAMES = [*BASELINES, "bayes_head", "blend", "list", "student"]


@pytest.fixture
def project(fitted: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(fitted)
    return fitted


@pytest.fixture
def evaluated(project: Path) -> Path:
    if not layout.METRICS.exists():
        run()
    return project


def _digests() -> dict[str, str]:
    files = [layout.METRICS, *layout.EVALUATION.iterdir(), *layout.PLOTS.iterdir()]
    return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.mark.usefixtures("evaluated")
def test_the_same_inputs_give_the_same_bytes() -> None:
    first = _digests()
    run()
    assert _digests() == first


@pytest.mark.usefixtures("evaluated")
def test_there_is_a_row_per_method_fold_seed_role_user_and_k() -> None:
    users = board.read_table(board.USERS)
    key = ["method", "fold", "seed", "role", "user", "k"]
    assert not users.duplicated(key).any()
    assert users["method"].unique().tolist() == NAMES
    counts = users[users["role"] == "cold"].groupby("method").size()
    assert counts["bayes_head"] == 2 * counts["bias"]
    assert set(users["k"]) == {0, 1, 3, 5, 10}
    assert users["list_recall@10"].notna().mean() > 0.9


@pytest.mark.usefixtures("evaluated")
def test_every_cold_user_counts_once() -> None:
    users, table = board.read_table(board.USERS), board.read_table(board.TABLE)
    n_cold = users[users["role"] == "cold"]["user"].nunique()
    assert set(table[table["metric"] == "rmse"]["n_users"]) == {n_cold}


@pytest.mark.usefixtures("evaluated")
def test_the_candidate_is_the_best_on_validation_users() -> None:
    users, summary = board.read_table(board.USERS), Summary.load(layout.EVALUATION)
    rows = users[users["role"] == "validation"]
    rows = rows[~rows["method"].isin(["random", "constant"])]
    worth = rows.groupby(["method", "k"])["list_recall@10"].mean().groupby("method").mean()
    assert summary.candidate.method == worth.idxmax()
    assert summary.canaries_ok


@pytest.mark.usefixtures("evaluated")
def test_metrics_are_few_and_plots_have_what_their_template_needs() -> None:
    metrics = json.loads(layout.METRICS.read_text())
    assert set(metrics["bias"]) == {
        m.name for m in METRICS.values() if m.compared and m.kind != "click"
    }
    plots = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    for plot in plots:
        ((path, drawn),) = plot.items()
        columns = pd.read_csv(path).columns
        assert {drawn["x"], drawn["y"], "method", "low", "high"} <= set(columns)
        assert (ROOT / ".dvc" / "plots" / f"{drawn['template']}.json").exists()


@pytest.mark.usefixtures("evaluated")
def test_the_commands_print_rows() -> None:
    done = CliRunner().invoke(app, ["leaderboard", "--json", "--metric", "rmse", "--k", "5"])
    rows = json.loads(done.stdout)
    assert [row["method"] for row in rows] == NAMES
    assert list(rows[0]) == [
        "dataset", "split", "method", "k", "metric", "mean", "low", "high", "n_users",
    ]  # fmt: skip
    assert (rows[0]["dataset"], rows[0]["split"]) == ("tiny", "random")
    done = CliRunner().invoke(app, ["compare", "ridge", "bias", "--metric", "mae", "--json"])
    rows = json.loads(done.stdout)
    assert [row["k"] for row in rows] == [0, 1, 3, 5, 10, "all"]
    assert list(rows[0]) == [
        "split", "metric", "k", "a", "b", "mean", "low", "high", "p", "p_holm", "n_users",
    ]  # fmt: skip
    n_cold = board.read_table(board.TABLE).query("metric == 'mae'")["n_users"].max()
    for row in rows:
        assert (row["split"], row["metric"], row["a"], row["b"]) == (
            "random", "mae", "ridge", "bias",
        )  # fmt: skip
        assert row["low"] <= row["mean"] <= row["high"]
        assert 0 < row["p"] <= row["p_holm"] <= 1
        assert row["n_users"] == n_cold


@pytest.mark.usefixtures("evaluated")
def test_the_commands_print_tables() -> None:
    assert "bayes_head" in CliRunner().invoke(app, ["leaderboard"]).stdout
    assert "ridge minus bias" in CliRunner().invoke(app, ["compare", "ridge", "bias"]).stdout


@pytest.mark.usefixtures("evaluated")
def test_compare_equals_the_table_of_the_stage() -> None:
    found = board.compare_rows("ridge", "popularity", "rmse").set_index("k")
    table = board.read_table(board.COMPARISONS)
    table = table[(table["table"] == "vs reference") & (table["metric"] == "rmse")]
    table = table[table["a"] == "ridge"].set_index("k")
    for column in ("mean", "low", "high"):
        assert found[column].tolist() == pytest.approx(table[column].tolist(), abs=2e-6)


@pytest.mark.usefixtures("evaluated")
def test_who_validates_in_another_fold_can_be_left_out() -> None:
    users = board.read_table(board.USERS)
    cold = set(users.loc[users["role"] == "cold", "user"])
    validating = set(users.loc[users["role"] == "validation", "user"])
    assert cold & validating
    rows = board.compare_rows("ridge", "bias", "mae", never_validated=True)
    assert set(rows["n_users"]) == {len(cold - validating)}


@pytest.mark.usefixtures("evaluated")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["leaderboard", "--metric", "f1"], "metric: 'f1' was not evaluated"),
        (["leaderboard", "--k", "4"], "k: 4 was not evaluated"),
        (["compare", "bais", "bias"], "method: 'bais' was not evaluated"),
        (["compare", "ridge", "bias", "--metric", "coverage"], "metric: 'coverage' is not known"),
        (
            ["compare", "vbpmf", "bias", "--metric", "nll"],
            "metric: 'nll' is not known per user of bias",
        ),
        (
            ["compare", "bias", "vbpmf", "--metric", "nll"],
            "metric: 'nll' is not known per user of bias",
        ),
    ],
)
def test_an_unknown_name_is_refused(arguments: list[str], said: str) -> None:
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, ParamsError)
    assert said in str(error)


def test_a_canary_that_sings_stops_the_stage(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundle of ``random`` holds a model that knows something."""
    good = load_method(layout.fold_folder(layout.BASELINES / "ridge", 0))

    def swapped(folder: Path) -> Any:
        return good if "random" in folder.parts else load_method(folder)

    before = layout.METRICS.read_bytes() if layout.METRICS.exists() else None
    monkeypatch.setattr(experiment, "load_method", swapped)
    with pytest.raises(EvaluationError, match="canary random"):
        run()
    after = layout.METRICS.read_bytes() if layout.METRICS.exists() else None
    assert after == before


def test_shuffled_labels_that_are_true_stop_the_stage(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The candidate gains all that honest labels gain: in the run the canary is heard."""
    monkeypatch.setattr(shuffled_labels, "shuffled", lambda target, seed: target)
    with pytest.raises(EvaluationError, match=r"canary shuffled labels \(\w+\): mse gain"):
        run()


def test_the_shuffled_candidate_is_the_one_of_every_fold(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, Any]] = []

    def watched(model: Any, target: Any, shots: Any, of: Metric, seed: int) -> pd.DataFrame:
        assert (of.name, tuple(shots), seed) == ("rmse", (0, 1, 3, 5, 10), 0)
        assert target.role == "cold"
        seen.append((target.fold, model))
        users = target.episodes.users_B.numpy()
        return pd.DataFrame({"user": users, "honest": 1.0, "shuffled": 0.0})

    spreads: list[tuple[str, float]] = []

    def told(canary: str, users: pd.DataFrame, target: Any, spread: float) -> list[Canary]:
        spreads.append((canary, spread))
        return check_error(canary, users, target, spread)

    monkeypatch.setattr(experiment, "shuffled_gains", watched)
    monkeypatch.setattr(canaries, "check_error", told)
    results = experiment.run_experiment(Prepared.load(), load_params())
    assert [fold for fold, _ in seen] == [0, 1]
    chosen = results.candidate
    for fold, model in seen:
        own = load_method(bundle_folder(chosen.method, fold, chosen.seed))
        assert (model.kind, model.config()) == (own.kind, own.config())
        for name, value in own.tensors().items():
            assert torch.equal(model.tensors()[name], value)
    (check,) = [c for c in results.canaries if c.canary.startswith("shuffled")]
    assert check.canary == f"shuffled labels ({chosen.method})"
    _cold_users_are_what_is_told_of(results)
    uniform = 4 / 12**0.5  # from 1 to 5, in rating points
    assert sorted(spreads) == [("constant", 0)] * 2 + [("random", pytest.approx(uniform))] * 2


def _cold_users_are_what_is_told_of(results: experiment.Results) -> None:
    """Coverage and canaries of both folds, one after the other."""
    prepared, params = Prepared.load(), load_params()
    cold = results.users[results.users["role"] == "cold"]
    covered = results.coverage.set_index(["method", "fold", "k"])["coverage"]
    for fold in (0, 1):
        target = evaluation_set(prepared, params, fold, "cold")
        bias = load_method(bundle_folder("bias", fold, 0))
        for k, share in evaluate(bias, target, (0, 5), catalogue=True).coverage.items():
            assert covered["bias", fold, k] == share
        rows = cold[(cold["method"] == "random") & (cold["fold"] == fold) & (cold["k"] == 3)]
        checks = [c for c in results.canaries if (c.canary, c.k) == ("random", 3)]
        (auc, rmse) = ([c for c in checks if c.metric == name][fold] for name in ("auc", "rmse"))
        assert auc.value == pytest.approx(rows["auc"].mean())
        assert rmse.value == pytest.approx(rows["mse"].mean() ** 0.5)


def test_a_canary_cannot_be_left_out(project: Path, prepared: Prepared) -> None:
    params = load_params()
    fewer = {name: v for name, v in params.baselines.items() if name != "constant"}
    with pytest.raises(ParamsError, match=r"baselines\.constant: is missing"):
        experiment.run_experiment(prepared, params.model_copy(update={"baselines": fewer}))


def test_a_bundle_of_unknown_kind_is_refused(tmp_path: Path) -> None:
    Bundle("oracle", {}, {}).save(tmp_path)
    with pytest.raises(ArtefactError, match="kind 'oracle' is not one of"):
        load_method(tmp_path)


def test_a_method_that_predicts_no_number_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: Path) -> Any:
        method = load_method(folder)
        if "item_mean" in folder.parts:
            method.item_N.fill_(float("nan"))  # type: ignore[attr-defined]
        return method

    monkeypatch.setattr(experiment, "load_method", broken)
    with pytest.raises(EvaluationError, match="item_mean, fold 0, seed 0: a score is NaN"):
        run()


def test_where_nobody_likes_anything_no_list_is_judged(project: Path, prepared: Prepared) -> None:
    params = load_params()
    few = {name: params.baselines[name] for name in ("random", "constant", "popularity")}
    loop = params.meta_train.model_copy(update={"algorithms": ()})
    above_all = params.data.model_copy(update={"like": 5.5})
    update = {"baselines": few, "meta_train": loop, "data": above_all, "combine": {}}
    with pytest.raises(EvaluationError, match="no validation user likes anything"):
        experiment.run_experiment(prepared, params.model_copy(update=update))
