"""``prepare`` reads only validated data and gives the same bytes for the same input."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from coldstart.data.prepared import Prepared
from coldstart.data.sources import folder_digest, read_source
from coldstart.errors import ArtefactError, DataError, ParamsError
from coldstart.intake.profile import profile_of
from coldstart.params import load_params
from coldstart.stages import prepare

FOLDER = Path("artifacts/prepared")


@pytest.fixture
def validated(project: Path) -> Path:
    """A project whose data counts as validated."""
    _mark_validated()
    return project


def _mark_validated() -> None:
    import json

    profile = profile_of(read_source(Path("data/tiny"), "tiny"), load_params().data)
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


@pytest.mark.parametrize(
    ("prepare_changes", "users", "seconds", "message"),
    [
        ({"validation_share": 0.001}, 120, None, "no validation user; raise prepare.validation_"),
        ({"n_folds": 20, "validation_share": 0.9}, 8, None, "no cold user; lower prepare.n_folds"),
        ({"split": "temporal"}, 120, 1, "no cold user; all rows are at one time.*split to random"),
        ({"min_ratings": 500}, 120, None, r"of \d+ validation users\); lower min_ratings and sh"),
    ],
)
def test_whom_there_is_nobody_of_and_what_helps(
    validated: Path, prepare_changes: dict[str, Any], users: int, seconds: int | None, message: str
) -> None:
    path = validated / "data/tiny/tiny.inter"
    head, *rows = [row.split("\t") for row in path.read_text().splitlines()]
    rows = [row for row in rows if int(row[0][1:]) < users]
    rows = rows if seconds is None else [[*row[:3], str(seconds)] for row in rows]
    path.write_text("\n".join("\t".join(row) for row in [head, *rows]) + "\n")
    _mark_validated()
    _set("prepare", **prepare_changes)
    with pytest.raises(DataError, match=message):
        prepare.run()


def test_nobody_likes_anything(validated: Path) -> None:
    _set("data", max_rating=6.0, like=5.5)
    with pytest.raises(DataError, match=r"highest rating is 5, and data\.like is 5\.5"):
        prepare.run()


def test_data_without_ratings(validated: Path) -> None:
    """A dataset of views and likes becomes targets between 0 and 1."""
    path = validated / "data/tiny/tiny.inter"
    head, *rows = [row.split("\t") for row in path.read_text().splitlines()]
    seen = [[u, i, "like" if int(r) > 3 else "view", t] for u, i, r, t in rows]
    head = [*head[:2], "event:token", head[3]]
    path.write_text("\n".join("\t".join(row) for row in [head, *seen]) + "\n")
    raw = yaml.safe_load(Path("params.yaml").read_text())
    events = {"view": 0.25, "like": 1.0}
    raw["data"] |= {"min_rating": None, "max_rating": None, "like": None, "events": events}
    raw["meta_train"]["negatives"]["number"] = 4
    Path("params.yaml").write_text(yaml.safe_dump({**raw, "head": "ranking"}))
    _mark_validated()
    prepare.run()
    found = Prepared.load()
    keys = found.items["key"].to_numpy()[found.ratings["item"]]
    users = found.users["key"].to_numpy()[found.ratings["user"]]
    strength = dict(zip(zip(users, keys, strict=True), found.ratings["target"], strict=True))
    assert strength == {(u, i): 1.0 if int(r) > 3 else 0.25 for u, i, r, _ in rows}
    assert (found.summary["rated"], found.summary["like"]) == (False, 1.0)
    Path("params.yaml").write_text(yaml.safe_dump({**raw, "head": "rating"}))
    with pytest.raises(ParamsError, match=r"head: rating needs ratings, and data\.min_rating is"):
        prepare.run()


def test_too_few_ratings_to_evaluate(validated: Path) -> None:
    _set("prepare", min_ratings=500)
    with pytest.raises(DataError, match=r"no validation user with prepare\.min_ratings = 500"):
        prepare.run()
