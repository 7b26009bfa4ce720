"""Files as people have them -> a champion that recommends, by the commands of docs/data.md.

Stages are called in this process; that ``dvc repro`` calls the same is tested elsewhere.
"""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from coldstart.cli import app
from coldstart.data.sources import Source, read_source
from coldstart.params import load_params
from coldstart.stages import (
    combine,
    evaluate,
    meta_train,
    prepare,
    pretrain,
    report,
    ship,
    validate,
)

from .conftest import ROOT, write_lock

RUN = CliRunner()
ALGORITHM = "multitask"
SMALL = (
    "threads=1",
    "prepare.n_folds=3",
    "validate.min_ratings=100",
    f"meta_train.algorithms=[{ALGORITHM}]",
    "meta_train.loop.max_steps=2",
    "meta_train.loop.eval_every=1",
    "meta_train.loop.batch_size=8",
    "pretrain.vbpmf_audience.sweeps=3",
    "combine.student.steps=5",
    "evaluate.resamples=100",
    "evaluate.min_segment=5",
    "gate.max_adapt_ms=10000.0",
)


def _write(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def movielens(source: Source) -> list[str]:
    """``ratings.csv`` and ``movies.csv``; titles end in a year, genres stand between bars."""
    ratings, items = source.ratings, source.items
    assert items is not None
    table = ratings[["user_id", "item_id", "rating", "timestamp"]].astype({"timestamp": "int64"})
    table.columns = pd.Index(["userId", "movieId", "rating", "timestamp"])
    table.to_csv("ratings.csv", index=False, lineterminator="\r\n")
    rows = [
        [item.item_id, f"{item.movie_title} ({item.release_year})", item[4].replace(" ", "|")]
        for item in items.itertuples()
    ]
    _write(Path("movies.csv"), [["movieId", "title", "genres"], *rows])
    return ["ratings.csv", "--items", "movies.csv", "--name", "layout"]


def amazon(source: Source) -> list[str]:
    """Reviews and metadata as JSON lines; half of the items are not described."""
    items = source.items
    assert items is not None
    with gzip.open("layout.jsonl.gz", "wt", encoding="utf-8") as file:
        for row in source.ratings.itertuples():
            review = {"rating": row.rating, "title": "ok", "text": "a\tb\n", "images": []}
            review |= {"parent_asin": row.item_id, "user_id": row.user_id}
            print(json.dumps(review | {"timestamp": int(row.timestamp) * 1000}), file=file)
    with Path("meta.jsonl").open("w", encoding="utf-8") as file:
        for place, item in enumerate(items.itertuples()):
            if place % 2:
                continue
            meta = {"parent_asin": item.item_id, "title": item.movie_title if place % 4 else None}
            print(json.dumps(meta | {"price": None, "categories": item[4].split()}), file=file)
    return ["layout.jsonl.gz", "--items", "meta.jsonl"]


def events(source: Source) -> list[str]:
    """A log of what people did; better ratings were carts and purchases, too."""
    rows = [["event_time", "event_type", "product_id", "price", "user_id"]]
    for row in source.ratings.itertuples():
        when = datetime.fromtimestamp(row.timestamp, UTC)
        kinds = ["view", *(["cart"] * (row.rating >= 4)), *(["purchase"] * (row.rating >= 4))]
        rows += [[f"{when:%Y-%m-%d %H:%M:%S} UTC", k, row.item_id, "9", row.user_id] for k in kinds]
    _write(Path("layout.csv"), rows)
    return ["layout.csv"]


def coldstart(*arguments: str) -> str:
    """What the command prints; it ended well."""
    result = RUN.invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.usefixtures("lenient", "home")
@pytest.mark.parametrize("layout", [movielens, amazon, events])
def test_from_files_to_a_champion(
    layout: object, tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(layout)
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    (project / "expectations").symlink_to(ROOT / "expectations")
    (project / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], check=True)

    coldstart("import", *layout(read_source(tiny_source, "tiny")), "--write")
    coldstart("params", *(part for key in SMALL for part in ("--set", key)), "--write")
    for stage in (validate, prepare, pretrain):
        stage.run()
    meta_train.run(ALGORITHM)
    for stage in (combine, evaluate, report, ship):
        stage.run()
    write_lock(project, ALGORITHM)

    coldstart("publish")
    (project / "decision.json").write_text(coldstart("gate"))
    coldstart("promote", "--decision", "decision.json")
    shown = coldstart("recommend")
    assert shown.count("Somebody who loves") == 3
    assert "  10. " in shown
    data = load_params().data
    assert data.name == "layout"
    champion = json.loads(coldstart("champion"))
    assert champion["model"] == ("coldstart-layout" if data.rated else "coldstart-layout-ranking")
