"""How a peer's setting is chosen, and what is kept of what was computed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import peer_trials
from coldstart.data.episodes import Support
from coldstart.data.prepared import Prepared
from coldstart.errors import ParamsError
from coldstart.evaluation.evaluation_set import evaluation_set
from coldstart.evaluation.protocol import evaluate
from coldstart.params import DataParams, Params, PrepareParams, load_params
from peer_libraries.adapter import Floats, Peer, Scorer, Setting, item_means, recommender
from peer_trials import Context, choose, effective, losses_without, settings_of

fits: list[Setting] = []


def fit(prepared: Prepared, fold: int, setting: Setting) -> Scorer:
    """Ranks by mean rating, or backwards."""
    fits.append(setting)
    mean_N = item_means(prepared.history(fold))

    def score(support: Support) -> Floats:
        return np.tile(np.float32(setting["sign"]) * mean_N, (support.n_users, 1))

    return score


PEER = Peer("means", None, False, fit, {"sign": (-1.0, 1.0)})


@pytest.fixture
def context(
    prepared: Prepared,
    data_params: DataParams,
    prepare_params: PrepareParams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Context:
    """Results go to a temporary folder."""
    params = load_params(Path(__file__).parents[2] / "params.yaml")
    params = params.model_copy(update={"data": data_params, "prepare": prepare_params})
    monkeypatch.setattr(peer_trials, "RESULTS", tmp_path / "peers")
    monkeypatch.setattr(peer_trials, "TRIALS", tmp_path / "peers" / "trials")
    fits.clear()
    return made(prepared, params, tmp_path)


def made(prepared: Prepared, params: Params, root: Path) -> Context:
    prepared.save(root / "prepared")
    return Context.of(prepared, params, root / "prepared")


def test_every_peer_tries_the_same_number_of_settings() -> None:
    wide = PEER._replace(space={"a": range(10), "b": range(10)})
    found = settings_of(wide, 12)
    assert len(found) == 12
    assert len({tuple(setting.values()) for setting in found}) == 12
    assert found == settings_of(wide, 12)
    assert settings_of(PEER, 12) == [{"sign": -1.0}, {"sign": 1.0}]


def test_no_setting_is_tried_twice_on_clicks(context: Context) -> None:
    weighted = PEER._replace(space={"sign": (-1.0, 1.0), "below": (0.0, 0.4, 1.0)})
    assert effective(weighted, context) == weighted  # ratings: some are no likes
    prepared = context.prepared
    clicks = replace(
        prepared,
        ratings=prepared.ratings.assign(target=np.float32(1)),
        summary={**prepared.summary, "head": "ranking"},
    )
    found = settings_of(effective(weighted, context._replace(prepared=clicks)), 12)
    assert found == [{"sign": -1.0, "below": 1.0}, {"sign": 1.0, "below": 1.0}]
    assert effective(PEER, context._replace(prepared=clicks)) == PEER


def test_validation_users_choose(context: Context) -> None:
    record = choose("means", PEER, context, 12)
    expected = {}
    for sign in (-1.0, 1.0):
        found = []
        for fold in (0, 1):
            target = evaluation_set(context.prepared, context.params, fold, "validation")
            model = recommender(PEER, context.prepared, fold, {"sign": sign})
            rows = evaluate(model, target, context.prepared.shots, catalogue=True).users
            found.append(rows["list_recall@10"])
        expected[sign] = pd.concat(found).mean()
    values = {t["setting"]["sign"]: t["value"] for t in record["trials"]}
    assert values == {sign: pytest.approx(value, abs=1e-6) for sign, value in expected.items()}
    best = max(expected, key=lambda sign: expected[sign])
    assert record["chosen"] == {"0": {"sign": best}, "1": {"sign": best}}


def test_cold_users_are_evaluated_with_what_was_chosen(context: Context) -> None:
    choose("means", PEER, context, 12)
    users = pd.read_parquet(peer_trials.RESULTS / "means.parquet")
    for fold in (0, 1):
        cold = context.prepared.eval_episodes(fold, "cold").users_B.tolist()
        assert sorted(users.loc[users["fold"] == fold, "user"].unique()) == cold
    assert set(users["k"]) == {0, 1, 3, 5, 10}
    assert users["coverage"].between(0, 1).all()
    assert "mse" not in users  # a ranker predicts no rating


def test_who_is_cold_has_no_say() -> None:
    rows = {
        "user": [1, 2, 3] * 2,
        "setting": [0] * 3 + [1] * 3,
        "list_recall@10": [0.5, 0.5, 0.0, 0.4, 0.4, 1.0],
    }
    everybody = losses_without(pd.DataFrame(rows), np.array([]), PEER)
    without = losses_without(pd.DataFrame(rows), np.array([3]), PEER)
    assert everybody.idxmin() == 1
    assert without.idxmin() == 0
    assert without[0] == pytest.approx(-0.5)


def test_a_rating_predictor_is_chosen_by_its_error() -> None:
    rows = pd.DataFrame({"user": [1, 1], "setting": [0, 1], "mse": [1.0, 0.8]})
    assert losses_without(rows, np.array([]), PEER._replace(rating=True)).idxmin() == 1


def test_what_was_computed_is_kept(context: Context) -> None:
    first = choose("means", PEER, context, 12)
    n_fits = len(fits)
    assert n_fits == 2 * 2 + 2  # settings times folds, and the best of each fold
    assert choose("means", PEER, context, 12) == first
    assert len(fits) == n_fits


def test_an_interrupted_run_goes_on(context: Context) -> None:
    def stops(prepared: Prepared, fold: int, setting: Setting) -> Scorer:
        if len(fits) == 3:
            raise KeyboardInterrupt
        return fit(prepared, fold, setting)

    with pytest.raises(KeyboardInterrupt):
        choose("means", PEER._replace(fit=stops), context, 12)
    choose("means", PEER, context, 12)
    assert len(fits) == 6


@pytest.mark.parametrize("change", [{"seed": 1}, {"like": 3.0}, {"more": [0.5]}])
def test_what_changed_is_fitted_anew(
    context: Context, change: dict[str, Any], tmp_path: Path
) -> None:
    choose("means", PEER, context, 12)
    n_fits, params = len(fits), context.params
    if "more" in change:
        choose("means", PEER._replace(space={"sign": (-1.0, 1.0, 0.5)}), context, 12)
        assert len(fits) == n_fits + 2  # one setting more, which is as good: the first is chosen
        return
    if "seed" in change:
        params = params.model_copy(update=change)
    else:
        data = params.data.model_copy(update=change)
        params = params.model_copy(update={"data": data})
    choose("means", PEER, made(context.prepared, params, tmp_path), 12)
    assert len(fits) == 2 * n_fits


def test_a_fold_that_is_not_prepared_is_named(context: Context, tmp_path: Path) -> None:
    prepare = context.params.prepare.model_copy(update={"folds": (0, 2)})
    params = context.params.model_copy(update={"prepare": prepare})
    with pytest.raises(ParamsError, match="fold 2 is not prepared"):
        made(context.prepared, params, tmp_path)


def test_half_a_file_is_never_left(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: pd.DataFrame, path: Path, **_: object) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(pd.DataFrame, "to_parquet", broken)
        with pytest.raises(OSError, match="no space"):
            choose("means", PEER, context, 12)
    choose("means", PEER, context, 12)
    record = json.loads((peer_trials.RESULTS / "means.json").read_text())
    assert record["title"] == "means"
