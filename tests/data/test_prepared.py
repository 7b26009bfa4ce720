"""The prepared tables hold what they promise and survive a round trip byte for byte."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from coldstart.data.prepared import TABLES, Prepared
from coldstart.data.sources import folder_digest, read_source
from coldstart.data.tables import prepare_source
from coldstart.data.units import Unit
from coldstart.errors import ArtefactError
from coldstart.evaluation.segments import user_segments
from coldstart.params import DataParams, PrepareParams
from coldstart.schema import EPISODES, ITEMS, RATINGS, SPLIT, USERS


def test_tables_follow_the_schema(prepared: Prepared) -> None:
    for name, schema in (
        ("users", USERS),
        ("items", ITEMS),
        ("ratings", RATINGS),
        ("split", SPLIT),
        ("episodes", EPISODES),
    ):
        table = getattr(prepared, name)
        assert {c: str(table[c].dtype) for c in schema} == schema, name


def test_row_zero_is_the_unknown_item(prepared: Prepared) -> None:
    assert prepared.items.loc[0, "key"] == ""
    assert (prepared.ratings["item"] > 0).all()
    assert prepared.item_features_NG[0].abs().sum() == 0
    assert prepared.n_items == len(prepared.items) == prepared.item_features_NG.shape[0]


RESERVED = ("key", "user", "n_ratings", "item", "fold", "role", "activity", "popular items", "line")


@pytest.fixture(scope="session")
def crowded(
    tiny_source: Path,
    data_params: DataParams,
    prepare_params: PrepareParams,
    tmp_path_factory: pytest.TempPathFactory,
) -> Prepared:
    """``tiny`` with attributes of users that are called as columns of ours are."""
    folder = tmp_path_factory.mktemp("crowded") / "tiny"
    shutil.copytree(tiny_source, folder)
    rows = (folder / "tiny.user").read_text().splitlines()
    head = "\t".join([rows[0], *(f"{name}:token" for name in RESERVED)])
    body = ["\t".join([r, *("ab"[n % 2] for _ in RESERVED)]) for n, r in enumerate(rows[1:])]
    (folder / "tiny.user").write_text("\n".join([head, *body]) + "\n")
    source = read_source(folder, "tiny")
    return prepare_source(source, data_params, prepare_params, seed=0, head="rating")


def test_attributes_of_any_name_are_features_and_replace_nothing(
    crowded: Prepared, prepared: Prepared, tmp_path: Path
) -> None:
    for column in USERS:
        assert crowded.users[column].equals(prepared.users[column])
    assert crowded.split.equals(prepared.split)
    assert crowded.episodes.equals(prepared.episodes)
    labels = crowded.encoder.labels
    assert {f"{name}={value}" for name in RESERVED for value in "ab"} <= set(labels)
    number = prepared.users["key"].str.removeprefix("u").astype(int)
    is_b = torch.from_numpy((number % 2 == 1).to_numpy(copy=True))
    for name in RESERVED:
        assert torch.equal(crowded.user_features_UF[:, labels.index(f"{name}=b")] > 0, is_b)
        assert crowded.attributes[name].tolist() == ["ab"[n % 2] for n in number]
    crowded.save(tmp_path)
    assert Prepared.load(tmp_path).attributes.equals(crowded.attributes)


def test_segments_of_attributes_of_any_name(crowded: Prepared, prepared: Prepared) -> None:
    found, plain = user_segments(crowded, 0), user_segments(prepared, 0)
    assert found[plain.columns].equals(plain)
    assert len(found.columns) == len(plain.columns) + len(RESERVED)
    assert set(found["attribute user"]) == {"a", "b"}


def test_round_trip_keeps_bytes(prepared: Prepared, tmp_path: Path) -> None:
    prepared.save(tmp_path / "a")
    loaded = Prepared.load(tmp_path / "a")
    loaded.save(tmp_path / "b")
    assert folder_digest(tmp_path / "a") == folder_digest(tmp_path / "b")
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(loaded, name), getattr(prepared, name))


def test_labels_of_rows_and_the_order_of_a_summary_change_no_byte(
    prepared: Prepared, tmp_path: Path
) -> None:
    turned = dict(reversed(prepared.summary.items()))
    assert list(turned) != list(prepared.summary)
    prepared.save(tmp_path / "a")
    labelled = prepared.ratings.set_axis(prepared.ratings.index + 7)
    replace(prepared, summary=turned, ratings=labelled).save(tmp_path / "b")
    assert folder_digest(tmp_path / "a") == folder_digest(tmp_path / "b")


def test_a_summary_is_json_in_readable_letters(prepared: Prepared, tmp_path: Path) -> None:
    replace(prepared, summary={"source": "Amélie"}).save(tmp_path)
    assert "Amélie" in (tmp_path / "summary.json").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(prepared, summary={"cut": float("nan")}).save(tmp_path)


def test_clicks_are_likes_and_have_no_unit(
    tiny_source: Path, data_params: DataParams, prepare_params: PrepareParams
) -> None:
    source = read_source(tiny_source, "tiny")
    clicks = prepare_source(source, data_params, prepare_params, seed=0, head="click")
    history = clicks.history(0)
    assert set(history.targets_R.tolist()) == {0, 1}
    assert history.like == 0.5
    assert clicks.unit(0) == Unit()
    rated = clicks.ratings.set_index(["user", "item"])["rating"]
    pairs = list(zip(history.users_R.tolist(), history.items_R.tolist(), strict=True))
    assert (history.targets_R == torch.tensor((rated[pairs] >= 4).to_numpy(copy=True))).all()


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"users\.parquet.*coldstart prepare"):
        Prepared.load(tmp_path)


def test_history_is_of_historical_users_only(prepared: Prepared) -> None:
    for fold in prepared.folds:
        history = prepared.history(fold)
        assert set(history.users_R.tolist()) <= set(prepared.role_users(fold, "historical"))
        keys = history.users_R * history.n_items + history.items_R
        assert torch.equal(keys, keys.sort().values)


def test_the_last_second_of_history_is_history(prepared: Prepared) -> None:
    ratings = prepared.ratings.assign(timestamp=prepared.ratings["item"] * 10)
    cut = replace(prepared, ratings=ratings, summary=prepared.summary | {"cut": 200})
    old = ratings["user"].isin(prepared.role_users(0, "historical"))
    assert (ratings[old]["item"] == 20).any()
    assert cut.history_rows(0).equals(ratings[old & (ratings["item"] <= 20)])


def _rated(prepared: Prepared) -> pd.DataFrame:
    """user, item and the target in the unit of fold 0."""
    targets = prepared.targets(prepared.ratings, 0).tolist()
    return prepared.ratings[["user", "item"]].assign(target=targets)


def test_cold_items_are_those_without_a_historical_rating(prepared: Prepared) -> None:
    for fold in prepared.folds:
        seen = set(prepared.history(fold).items_R.tolist()) | {0}
        lost = min(seen - {0})  # as if nobody but cold users had rated it
        kept = prepared.ratings[prepared.ratings["item"] != lost]
        for found, cold in (
            (prepared, set(range(prepared.n_items)) - seen),
            (replace(prepared, ratings=kept), set(range(prepared.n_items)) - seen | {lost}),
        ):
            assert set(found.cold_items(fold).nonzero()[:, 0].tolist()) == cold


@pytest.mark.parametrize("role", ["validation", "cold"])
def test_episodes_are_the_users_own_ratings(prepared: Prepared, role: str) -> None:
    episodes = prepared.eval_episodes(0, role)  # type: ignore[arg-type]
    assert episodes.n_users > 5
    assert episodes.items_BQ.shape[1] == 5
    assert episodes.support.items_BS.shape[1] == 10
    rated = {(u, i): t for u, i, t in _rated(prepared).itertuples(index=False)}
    for b, user in enumerate(episodes.users_B.tolist()):
        items = [*episodes.items_BQ[b].tolist(), *episodes.support.items_BS[b].tolist()]
        targets = [*episodes.targets_BQ[b].tolist(), *episodes.support.targets_BS[b].tolist()]
        assert len(set(items)) == 15
        assert [rated[user, item] for item in items] == targets
    assert torch.equal(episodes.support.users_BF, prepared.user_features_UF[episodes.users_B])


def test_one_user_alone_has_an_episode(prepared: Prepared) -> None:
    whole = prepared.eval_episodes(0, "cold")
    user = int(whole.users_B[3])
    alone = replace(prepared, episodes=prepared.episodes[prepared.episodes["user"] == user])
    found = alone.eval_episodes(0, "cold")
    assert torch.equal(found.items_BQ, whole.items_BQ[3:4])
    assert torch.equal(found.support.targets_BS, whole.support.targets_BS[3:4])
    nobody = replace(prepared, episodes=prepared.episodes[:0]).eval_episodes(0, "cold")
    assert nobody.n_users == 0


def test_every_user_is_cold_in_one_fold(prepared: Prepared) -> None:
    cold = [set(prepared.role_users(fold, "cold")) for fold in prepared.folds]
    assert not cold[0] & cold[1]
    fraction = len(cold[0]) / prepared.n_users
    assert 0.2 < fraction < 0.5
