"""``prepare`` reads only validated data and gives the same bytes for the same input."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from coldstart.data.prepared import Prepared
from coldstart.data.sources import folder_digest, read_source
from coldstart.errors import ArtefactError, DataError
from coldstart.intake.profile import profile_of
from coldstart.stages import prepare

FOLDER = Path("artifacts/prepared")


@pytest.fixture
def validated(project: Path) -> Path:
    """A project whose data counts as validated."""
    _mark_validated()
    return project


def _mark_validated() -> None:
    import json

    profile = profile_of(read_source(Path("data/tiny"), "tiny"))
    Path("artifacts").mkdir(exist_ok=True)
    Path("artifacts/validation.json").write_text(json.dumps({"profile": profile}))


def _set(section: str, **values: Any) -> None:
    raw = yaml.safe_load(Path("params.yaml").read_text())
    raw[section] |= values
    Path("params.yaml").write_text(yaml.safe_dump(raw))


def test_same_input_same_bytes(validated: Path) -> None:
    prepare.run()
    first = folder_digest(FOLDER)
    shutil.rmtree(FOLDER)
    prepare.run()
    assert folder_digest(FOLDER) == first


def test_unvalidated_data_is_refused(validated: Path) -> None:
    with (validated / "data/tiny/tiny.inter").open("a") as file:
        file.write("u0\ti1\t5\t1600000000\n")
    with pytest.raises(ArtefactError, match=r"is of other data .* run `coldstart validate`"):
        prepare.run()
    Path("artifacts/validation.json").unlink()
    with pytest.raises(ArtefactError, match="not found; run `coldstart validate`"):
        prepare.run()


def test_the_latest_of_repeated_ratings_wins(validated: Path) -> None:
    path = validated / "data/tiny/tiny.inter"
    row = path.read_text().splitlines()[1].split("\t")
    other = "1" if row[2] != "1" else "2"
    with path.open("a") as file:
        file.write(f"{row[0]}\t{row[1]}\t{other}\t{int(row[3]) + 60}\n")
        file.write(f"{row[0]}\t{row[1]}\t3\t{int(row[3]) - 60}\n")
    _mark_validated()
    prepare.run()
    data = Prepared.load()
    user = data.users.loc[data.users["key"] == row[0], "user"].item()
    item = data.items.loc[data.items["key"] == row[1], "item"].item()
    rows = data.ratings[(data.ratings["user"] == user) & (data.ratings["item"] == item)]
    assert rows["rating"].tolist() == [float(other)]
    assert data.summary["repeated_ratings_dropped"] == 2


def test_temporal_history_ends_at_the_cut(validated: Path) -> None:
    _set("prepare", split="temporal", folds=[0])
    prepare.run()
    data = Prepared.load()
    cut = data.summary["cut"]
    history = data.history(0)
    mine = data.ratings["user"].isin(data.role_users(0, "historical"))
    assert len(history.users_R) == (mine & (data.ratings["timestamp"] <= cut)).sum()
    assert (mine & (data.ratings["timestamp"] > cut)).any()
    cold = data.ratings["user"].isin(data.role_users(0, "cold"))
    assert (data.ratings.loc[cold, "timestamp"] > cut).all()


def test_click_head_learns_likes(validated: Path) -> None:
    _set("gate", metric="log_loss")
    raw = yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text(yaml.safe_dump({**raw, "head": "click"}))
    prepare.run()
    data = Prepared.load()
    assert (data.ratings["target"] == (data.ratings["rating"] >= 4)).all()
    assert set(data.eval_episodes(0, "cold").targets_BQ.unique().tolist()) == {0.0, 1.0}


def test_dataset_of_ratings_alone(validated: Path) -> None:
    folder = validated / "data/tiny"
    for suffix in ("user", "item", "kg", "link"):
        (folder / f"tiny.{suffix}").unlink()
    rows = (folder / "tiny.inter").read_text().splitlines()
    (folder / "tiny.inter").write_text("\n".join(r.rsplit("\t", 1)[0] for r in rows) + "\n")
    _mark_validated()
    prepare.run()
    data = Prepared.load()
    assert data.item_features_NG.shape == (data.n_items, 0)
    assert data.user_features_UF.shape == (data.n_users, 0)
    assert (data.ratings["timestamp"] == -1).all()
    assert data.eval_episodes(0, "cold").n_users > 0
    _set("prepare", order="chronological")
    with pytest.raises(DataError, match=r"tiny\.inter: has no timestamps, which .* need"):
        prepare.run()


def test_too_few_ratings_to_evaluate(validated: Path) -> None:
    _set("prepare", min_ratings=500)
    with pytest.raises(DataError, match=r"no validation user with prepare\.min_ratings = 500"):
        prepare.run()
