"""``data.dvc``: which bytes a dataset must have.

DVC's own entry pins the whole of ``data/``, but ``dvc repro`` and ``dvc add`` rewrite it to what
lies there. So ``coldstart fetch`` also records the MD5 of each file, per dataset, in the ``meta``
section, which DVC keeps and never touches; that is the pin that data is held against.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from coldstart.data.sources import file_digests
from coldstart.errors import DataError

Digests = dict[str, str]  # path below the dataset's folder -> MD5


def pin_path(data: Path) -> Path:
    """``data.dvc``, beside ``data/``."""
    return data.with_name(f"{data.name}.dvc")


def read_pins(data: Path) -> dict[str, Digests]:
    """The pinned files of every dataset; empty without ``data.dvc``.

    Raises:
        DataError: ``data.dvc`` is not readable, or its datasets are not in the form we write.
    """
    path = pin_path(data)
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        datasets = (content.get("meta") or {}).get("datasets") or {}
        return {str(name): {str(f): str(m) for f, m in d.items()} for name, d in datasets.items()}
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); restore it from git") from None


def write_pin(data: Path, name: str, digests: Digests) -> None:
    """Pin one dataset; ``data.dvc`` must exist."""
    path = pin_path(data)
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    pins = {**read_pins(data), name: digests}
    content["meta"] = {"datasets": {key: dict(sorted(pins[key].items())) for key in sorted(pins)}}
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def differences(pinned: Digests, found: Digests) -> list[str]:
    """Each file that differs, with how."""
    said = []
    for name in sorted(set(pinned) | set(found)):
        if name not in found:
            said.append(f"{name} is missing")
        elif name not in pinned:
            said.append(f"{name} is not pinned")
        elif pinned[name] != found[name]:
            said.append(f"{name} differs (MD5 {found[name]}, pinned {pinned[name]})")
    return said


def check_pin(data: Path, name: str) -> None:
    """Hold a dataset against its pin; one that ``data.dvc`` does not know passes.

    Raises:
        DataError: names every file that differs.
    """
    pinned = read_pins(data).get(name)
    if pinned is None:
        return
    if said := differences(pinned, file_digests(data / name)):
        raise DataError(mismatch(data / name, said))


def mismatch(folder: Path, said: list[str]) -> str:
    """The message for data that is not what is pinned."""
    return (
        f"{folder}: is not the data that {pin_path(folder.parent)} pins: {'; '.join(said)}. "
        f"To get the pinned data, remove {folder} and run `coldstart fetch`; "
        "to take and pin what data.source has now, run `coldstart fetch --update`"
    )
