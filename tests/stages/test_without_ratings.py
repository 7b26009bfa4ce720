"""Every stage on an event log and on bare clicks, from the files to the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from coldstart import layout
from coldstart.errors import DataError, ValidationFailed
from coldstart.evaluation import leaderboard as board
from coldstart.stages import combine, evaluate, meta_train, prepare, pretrain, report, validate

from .conftest import tiny_params

EVENTS = {"view": 0.25, "like": 1.0, "dislike": -1.0}


def _rewrite(path: Path, *, events: bool) -> None:
    """Ratings become views, likes and dislikes, or nothing but rows."""
    _, *rows = (row.split("\t") for row in path.read_text().splitlines())
    kinds = {"1": "dislike", "2": "view", "3": "view", "4": "like", "5": "like"}
    written = [[u, i, *([kinds[r]] if events else []), t] for u, i, r, t in rows]
    head = ["user_id:token", "item_id:token", *(["event:token"] if events else [])]
    lines = [[*head, "timestamp:float"], *written]
    path.write_text("\n".join("\t".join(line) for line in lines) + "\n")


def _params(*, events: bool) -> dict[str, Any]:
    raw = tiny_params()
    none = dict.fromkeys(("min_rating", "max_rating", "like"))
    raw["data"] |= {**none, "events": EVENTS if events else None}
    raw["meta_train"] |= {"algorithms": ["multitask"], "negatives": {"number": 2, "alpha": 0.75}}
    raw["meta_train"]["loop"] |= {"max_steps": 2, "eval_every": 1, "batch_size": 16}
    raw["pretrain"]["vbpmf_audience"] |= {"factors": 2, "sweeps": 3, "audience": 4, "crossfit": 2}
    raw["baselines"] = {
        name: raw["baselines"][name]
        for name in ("random", "constant", "popularity", "item_mean", "bias", "ridge")
    }
    raw["combine"] = {}
    raw["evaluate"] |= {"resamples": 100, "min_segment": 5}
    return {**raw, "threads": 1, "head": "ranking", "goal": "list"}


@pytest.mark.parametrize("events", [True, False], ids=["events", "clicks"])
def test_from_the_files_to_the_report(project: Path, *, events: bool) -> None:
    _rewrite(project / "data/tiny/tiny.inter", events=events)
    (project / "expectations/accepted/tiny.json").unlink()
    (project / "params.yaml").write_text(yaml.safe_dump(_params(events=events)))
    validate.run()
    text = (project / "artifacts/validation.json").read_text()
    assert "skipped: data.min_rating is null: no ratings are read" in text
    validate.accept()
    validate.run()  # held against itself
    if events:
        inter = project / "data/tiny/tiny.inter"
        rows = inter.read_text()
        inter.write_text(rows.replace("\tview\t", "\tlike\t"))
        with pytest.raises(ValidationFailed, match=r"distribution_shift +observed 0\.\d"):
            validate.run()
        inter.write_text(rows.replace("\tview\t", "\tseen\t", 1))
        with pytest.raises(DataError, match=r"kinds of event: seen \(1 rows\)"):
            validate.run()
        inter.write_text(rows)
    prepare.run()
    pretrain.run()
    meta_train.run("multitask")
    combine.run()
    evaluate.run()
    report.run()
    table = board.read_table(board.TABLE)
    assert "list_recall@10" in set(table["metric"])
    assert not {"rmse", "mae", "nll"} & set(table["metric"])
    assert "multitask" in layout.LEADERBOARD.read_text()
