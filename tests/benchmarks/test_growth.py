"""Made ratings are the same each time and shaped as promised; a measurement has every stage."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import yaml

import growth
import made_data
from coldstart import layout
from coldstart.combinations import possible
from coldstart.params import load_params

SMALL = 8_000
ROOT = Path(__file__).parents[2]


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first, again, other = (tmp_path / name / "made" for name in ("first", "again", "other"))
    made_data.write(first, SMALL, seed=1)
    made_data.write(again, SMALL, seed=1)
    made_data.write(other, SMALL, seed=2)
    for name in ("made.inter", "made.user", "made.item"):
        assert (first / name).read_bytes() == (again / name).read_bytes()
        assert (first / name).read_bytes() != (other / name).read_bytes()


def test_made_ratings_are_distinct_long_tailed_and_grow_as_said(tmp_path: Path) -> None:
    sizes = {}
    for n in (10_000, 100_000):
        made_data.write(tmp_path / str(n), n)
        table = pd.read_csv(tmp_path / str(n) / f"{n}.inter", sep="\t")
        assert len(table) == n
        assert not table.duplicated(["user_id:token", "item_id:token"]).any()
        assert set(table["rating:float"]) == {1, 2, 3, 4, 5}
        assert table["user_id:token"].value_counts().min() >= made_data.LEAST
        items = pd.read_csv(tmp_path / str(n) / f"{n}.item", sep="\t")
        sizes[n] = (table["user_id:token"].nunique(), len(items))
    counts = table["item_id:token"].value_counts()
    assert counts.iloc[: len(counts) // 10].sum() > 0.3 * len(table)
    (few_users, few_items), (users, items) = sizes.values()
    assert users / few_users == pytest.approx(10, rel=0.01)
    assert items / few_items == pytest.approx(10**0.4, rel=0.01)


def test_taste_can_be_learnt(tmp_path: Path) -> None:
    """Who likes a genre of an item likes the item: half of the genre's ratings tell the others."""
    made_data.write(tmp_path / "made", 100_000)
    ratings = pd.read_csv(tmp_path / "made" / "made.inter", sep="\t")
    items = pd.read_csv(tmp_path / "made" / "made.item", sep="\t")
    genre = items.set_index("item_id:token")["class:token_seq"].str.split().str[0]
    value = ratings["rating:float"] - ratings.groupby("item_id:token")["rating:float"].transform(
        "mean"
    )
    value -= value.groupby(ratings["user_id:token"]).transform("mean")
    keys = [ratings["user_id:token"], ratings["item_id:token"].map(genre)]
    half = value.groupby(keys).cumcount() % 2
    means = pd.DataFrame(
        {side: value[half == side].groupby([key[half == side] for key in keys]).mean()
         for side in (0, 1)}
    ).dropna()  # fmt: skip
    assert means[0].corr(means[1]) > 0.2


def test_methods_come_with_what_they_are_made_from() -> None:
    methods = growth.needed(["list"])
    section = load_params(ROOT / "params.yaml").combine
    assert set(methods) == {*growth.ALWAYS, "list", "blend", *section["blend"]["members"]}
    assert set(growth.needed(["ridge"])) == {*growth.ALWAYS, "ridge", growth.TRAINED}
    trained = [stage for stage in growth.stages(methods) if stage.startswith("meta_train")]
    assert trained == [f"meta_train@{name}" for name in ("cnp", "bayes_head", "multitask")]


def test_a_run_has_a_row_for_every_stage_and_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods, folder = growth.needed(["list"]), tmp_path / "8000"
    costs = growth.measured(folder, SMALL, methods, until="prepare")
    assert list(costs) == ["validate", "prepare"]
    for cost in costs.values():
        assert cost["seconds"] > 0.1
        assert cost["peak_mib"] > 50
    assert (folder / layout.PREPARED).is_dir()
    params = load_params(folder / layout.PARAMS)
    assert possible(params).keys() == {"blend", "list"}
    assert params.threads == 1

    run: list[Sequence[str]] = []
    shipped: list[str] = []

    def cost_of(_: Path, command: Sequence[str]) -> dict[str, float]:
        run.append(command)
        return {"seconds": 1.0, "peak_mib": 1.0}

    monkeypatch.setattr(growth, "cost_of", cost_of)
    monkeypatch.setattr(growth, "choose", lambda _, method: shipped.append(method))
    rest = growth.measured(folder, SMALL, methods)
    assert {stage: rest[stage] for stage in costs} == costs
    assert {stage.partition("@")[0] for stage in rest} == set(
        yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    )
    assert len(run) == len(rest) - 2
    assert ["coldstart", "meta-train", "cnp"] in run
    assert shipped == ["list"]
    assert growth.measured(folder, SMALL, methods) == rest
    assert len(run) == len(rest) - 2


def test_a_cost_is_of_the_command_and_its_children_alone(tmp_path: Path) -> None:
    holds = "x = bytearray(300 << 20); x[::4096] = bytes(len(x[::4096]))"
    in_a_child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {holds!r}])"
    small = growth.cost_of(tmp_path, [sys.executable, "-c", "pass"])
    large = growth.cost_of(tmp_path, [sys.executable, "-c", in_a_child])
    assert small["peak_mib"] < 100
    assert 300 < large["peak_mib"] < 400
    assert json.loads((tmp_path / "cost.json").read_text()) == large


def test_what_is_above_the_limits_is_marked() -> None:
    cost = {"seconds": 2.0, "peak_mib": 100.0}
    of_sizes = {
        10**5: {"a": cost, "b": cost},
        10**6: {"a": {"seconds": 20.0, "peak_mib": 6145.0}, "b": {"seconds": 24, "peak_mib": 5.0}},
    }
    assert growth.table(of_sizes) == [
        "| stage | 10^5, s | 10^6, s | 10^6 / linear | 10^5, MiB | 10^6, MiB |",
        "|---|--:|--:|--:|--:|--:|",
        "| a | 2.0 | 20.0 | 1.00 | 100 | **6145** |",
        "| b | 2.0 | 24.0 | **1.20** | 100 | 5 |",
    ]
