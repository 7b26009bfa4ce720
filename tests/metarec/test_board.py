"""``protocol: metarec``: a board of all methods, labelled legacy, that nothing can promote."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from rich.console import Console

from coldstart import cli
from coldstart.errors import ParamsError
from coldstart.metarec import board
from coldstart.params import Params, load_params

ROOT = Path(__file__).parents[2]


@pytest.fixture
def params(tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """Beside ``data/tiny``, with one meta-learner that trains for two steps."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw |= {"protocol": "metarec", "threads": 1, "tuned": {}}
    raw["data"] |= {"name": "tiny", "source": "tiny"}
    raw["prepare"] |= {"min_ratings": 15, "query_size": 5, "shots": [0, 5]}
    raw["pretrain"] |= {"backbone": "mf"}
    raw["pretrain"]["mf"] |= {"factors": 4, "sweeps": 3, "crossfit": 3}
    kept = ("random", "constant", "item_mean", "ridge")
    raw["baselines"] = {name: raw["baselines"][name] for name in kept}
    raw["meta_train"] |= {"algorithms": ["fomaml"]}
    raw["meta_train"]["loop"] |= {"max_steps": 2, "eval_every": 1, "batch_size": 4}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tiny").symlink_to(tiny_source)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    return load_params()


def test_a_row_per_mode_split_and_method(params: Params) -> None:
    rows = board.legacy_rows(params, splits=1)
    methods = [*params.baselines, "fomaml"]
    assert rows["method"].tolist() == methods * 2
    assert rows.groupby("mode", sort=False).size().to_dict() == {"click": 5, "rating": 5}
    assert (rows["users"] == 12).all()
    assert rows[list(board.COLUMNS)].stack().between(0, 1).all()
    rating = rows[rows["mode"] == "rating"]
    assert rating["P@5"].tolist() == rating["R@5"].tolist(), "five of ten are to be found"
    assert rows.equals(board.legacy_rows(params, splits=1))


def test_the_table_says_legacy_and_shows_what_was_published(params: Params) -> None:
    rows = board.legacy_rows(params, splits=1)
    assert ", published" not in shown(rows), "the board published nothing on tiny"
    text = shown(rows.assign(dataset="ml-100k"))
    assert "Legacy protocol of RecBole-MetaRec" in text
    assert "never for a promotion" in text
    assert "TaNP, published" in text


def shown(rows: object) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(board.tables(rows))
    return capture.get()


@pytest.mark.parametrize("command", [cli.prepare, cli.evaluate, cli.publish, cli.gate])
def test_no_stage_and_no_gate_runs_with_it(command: object, params: Params) -> None:
    with pytest.raises(ParamsError, match="legacy"):
        command()


def test_the_leaderboard_has_one_support_size(params: Params) -> None:
    with pytest.raises(ParamsError, match="one support size"):
        cli.leaderboard(k=5)
