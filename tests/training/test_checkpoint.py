from __future__ import annotations

from pathlib import Path

import pytest
import torch

from coldstart.training.checkpoint import Checkpoints, digest


def _saved(folder: Path, numbers: tuple[int, ...]) -> Checkpoints:
    checkpoints = Checkpoints(folder)
    for number in numbers:
        checkpoints.save(number, {"w": torch.full((50,), float(number))}, {"step": number})
    return checkpoints


def test_nothing_saved_is_nothing_loaded(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none").load() is None


def test_the_newest_is_loaded_and_two_are_kept(tmp_path: Path) -> None:
    checkpoints = _saved(tmp_path, (5, 10, 15))
    loaded = checkpoints.load()
    assert loaded is not None
    tensors, state = loaded
    assert state == {"step": 15}
    assert torch.equal(tensors["w"], torch.full((50,), 15.0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000010", "000000015"]


@pytest.mark.parametrize("file", ["model.safetensors", "manifest.json"])
@pytest.mark.parametrize("harm", ["cut", "empty", "flip", "gone"])
def test_a_torn_generation_falls_back_to_the_one_before(
    tmp_path: Path, file: str, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = _saved(tmp_path, (5, 10))
    path = tmp_path / "000000010" / file
    content = bytearray(path.read_bytes())
    if harm == "gone":
        path.unlink()
    else:
        content[len(content) // 2] ^= 255
        path.write_bytes({"cut": content[:-20], "empty": b"", "flip": content}[harm])
    loaded = checkpoints.load()
    assert loaded is not None
    assert loaded[1] == {"step": 5}
    assert "checkpoint passed over" in caplog.text
    checkpoints.save(10, {"w": torch.zeros(1)}, {"step": 10})  # the torn one is not in the way
    loaded = checkpoints.load()
    assert loaded is not None
    assert loaded[1] == {"step": 10}


def test_a_write_that_was_cut_off_is_not_seen(tmp_path: Path) -> None:
    checkpoints = _saved(tmp_path, (5,))
    unfinished = tmp_path / ".000000010.tmp"
    unfinished.mkdir()
    (unfinished / "model.safetensors").write_bytes(b"half")
    loaded = checkpoints.load()
    assert loaded is not None
    assert loaded[1] == {"step": 5}
    checkpoints.save(10, {"w": torch.zeros(1)}, {"step": 10})
    assert not unfinished.exists()


def test_clear_forgets(tmp_path: Path) -> None:
    checkpoints = _saved(tmp_path / "run", (5,))
    checkpoints.clear()
    assert checkpoints.load() is None
    assert list(tmp_path.iterdir()) == []


def test_the_key_follows_params_names_and_bytes(tmp_path: Path) -> None:
    root = tmp_path / "inputs"
    (root / "__pycache__").mkdir(parents=True)
    (root / "a").write_text("1")
    keys = [digest({"x": 1}, [root])]
    (root / "__pycache__" / "a.pyc").write_text("compiled")
    assert digest({"x": 1}, [root]) == keys[0]
    keys.append(digest({"x": 2}, [root]))
    (root / "a").write_text("2")
    keys.append(digest({"x": 1}, [root]))
    (root / "a").rename(root / "b")
    keys.append(digest({"x": 1}, [root]))
    assert len(set(keys)) == len(keys)
