"""A damaged object of cache or remote is never used: pulled again, computed again, or named."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from coldstart import workspace
from coldstart.dvc_cache import Found, Output, drop_damaged
from coldstart.errors import ArtefactError
from coldstart.workspace import run_stage
from places import place, request

FAULTS = {
    "flipped": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "truncated": lambda content: content[:-1],
    "emptied": lambda content: b"",
}


def damage(store: Path, md5: str, fault: str) -> None:
    """Damage an object as a disk would: its name and its mode stay."""
    path = store / "files" / "md5" / md5[:2] / md5[2:]
    mode, content = path.stat().st_mode, path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(FAULTS[fault](content))
    path.chmod(mode)


def objects(lock: dict[str, Any]) -> dict[str, str]:
    """MD5 of the objects that `meta_train@maml` reads, by their kind."""
    file = hashlib.md5(b"ratings").hexdigest()
    return {"listing": lock["prepare"]["outs"][0]["md5"], "file": file}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", ["listing", "file"])
def test_a_damaged_object_of_the_cache_is_pulled_again(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, fault: str
) -> None:
    place(monkeypatch, tmp_path / "a")
    lock = run_stage("prepare", request(project), project)["lock"]
    damage(tmp_path / "a" / "home" / "dvc" / "cache", objects(lock)[kind], fault)
    baton = run_stage("meta_train@maml", request(project, lock), project)
    (out,) = baton["lock"]["meta_train@maml"]["outs"]
    listing = [{"md5": hashlib.md5(b"mamlratings").hexdigest(), "relpath": "x"}]
    assert out["md5"] == hashlib.md5(json.dumps(listing).encode()).hexdigest() + ".dir"


def test_without_the_check_a_flipped_bit_becomes_another_result(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above: dvc takes an object that is read-only for its name."""
    place(monkeypatch, tmp_path / "a")
    lock = run_stage("prepare", request(project), project)["lock"]
    damage(tmp_path / "a" / "home" / "dvc" / "cache", objects(lock)["file"], "flipped")
    monkeypatch.setattr(workspace, "_secure", lambda *_: None)
    baton = run_stage("meta_train@maml", request(project, lock), project)["lock"]["meta_train@maml"]
    (dep,) = (d for d in baton["deps"] if d["path"] == "artifacts/prepared")
    listing = [{"md5": hashlib.md5(b"mamlratings").hexdigest(), "relpath": "x"}]
    right = hashlib.md5(json.dumps(listing).encode()).hexdigest() + ".dir"
    assert dep["md5"] == lock["prepare"]["outs"][0]["md5"]
    assert baton["outs"][0]["md5"] != right


@pytest.mark.parametrize("kind", ["listing", "file"])
def test_what_no_place_has_whole_is_refused_by_name(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    place(monkeypatch, tmp_path / "a")
    lock = run_stage("prepare", request(project), project)["lock"]
    damage(tmp_path / "remote", objects(lock)[kind], "truncated")
    place(monkeypatch, tmp_path / "b")
    with pytest.raises(ArtefactError, match=r"artifacts/prepared.*: damaged.*: prepare$"):
        run_stage("meta_train@maml", request(project, lock), project)


def test_what_was_lost_is_computed_again(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(monkeypatch, tmp_path / "a")
    lock = run_stage("prepare", request(project), project)["lock"]
    baton = run_stage("meta_train@maml", request(project, lock), project)["lock"]
    damage(tmp_path / "remote", baton["meta_train@maml"]["outs"][0]["md5"], "flipped")
    place(monkeypatch, tmp_path / "b")
    with pytest.raises(ArtefactError, match="run again what makes it: meta_train@maml"):
        run_stage("evaluate", request(project, lock | baton), project)
    again = run_stage("meta_train@maml", request(project, lock), project)
    assert not again["restored"]
    assert again["lock"] == baton
    assert run_stage("evaluate", request(project, lock | baton), project)["lock"]


def test_damaged_data_are_fetched_again(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = yaml.safe_load((project / "data.dvc").read_text())["outs"][0]["md5"]
    damage(tmp_path / "remote", pinned, "flipped")
    place(monkeypatch, tmp_path / "a")
    with pytest.raises(ArtefactError, match=r"^data: damaged.*: coldstart fetch$"):
        run_stage("prepare", request(project), project)


def store(folder: Path, content: bytes, end: str = "") -> str:
    """Put an object into a store; returns its name."""
    md5 = hashlib.md5(content).hexdigest() + end
    path = folder / "files" / "md5" / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return md5


def test_of_a_folder_only_what_is_needed_is_asked_for(tmp_path: Path) -> None:
    cache, remote = tmp_path / "cache", tmp_path / "remote"
    remote.mkdir()
    files = [("a/x", store(cache, b"1")), ("b/x", store(cache, b"2")), ("b/y", "0" * 32)]
    listing = json.dumps([{"md5": md5, "relpath": path} for path, md5 in files]).encode()
    md5 = store(cache, listing, ".dir")
    damage(cache, files[1][1], "flipped")
    assert drop_damaged(cache, remote, [Output("data", md5, "data/a")]) == Found()
    assert (cache / "files" / "md5" / files[1][1][:2] / files[1][1][2:]).exists()
    found = drop_damaged(cache, remote, [Output("data", md5, "data/b")])
    assert found == Found(lost=["data/b/x", "data/b/y"])
    assert not (cache / "files" / "md5" / files[1][1][:2] / files[1][1][2:]).exists()


def test_of_a_remote_that_is_no_folder_lists_are_fetched_first(tmp_path: Path) -> None:
    """Files that another list holds too may lie in the cache, damaged, before the list does."""
    file = store(tmp_path, b"1")
    damage(tmp_path, file, "flipped")
    listing = json.dumps([{"md5": file, "relpath": "x"}]).encode()
    output = Output("data", hashlib.md5(listing).hexdigest() + ".dir", "data")
    assert drop_damaged(tmp_path, None, [output]) == Found(unseen=["data"])
    store(tmp_path, listing, ".dir")
    assert drop_damaged(tmp_path, None, [output]) == Found()
    assert not (tmp_path / "files" / "md5" / file[:2] / file[2:]).exists()
