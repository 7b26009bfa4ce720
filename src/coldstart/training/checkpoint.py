"""Checkpoints that survive a kill at any moment.

A generation is a folder with a bundle, written under a temporary name, flushed to the disk and
renamed; the generation before it is kept until the next. Reading verifies digests and falls back
to the older one. The folder of a training run is named by a digest of everything that the result
depends on, so a checkpoint is never resumed with other inputs; it lies outside the stage's outputs.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from coldstart.errors import ArtefactError
from coldstart.models.bundle import Bundle

_LOG = logging.getLogger(__name__)
_KIND = "checkpoint"
_KEEP = 2


def digest(params: Mapping[str, Any], folders: Iterable[Path]) -> str:
    """Key of a run: its parameters (JSON values) and the bytes and names of its input files."""
    state = hashlib.sha256(json.dumps(params, sort_keys=True).encode())
    for root in folders:
        files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
        for path in files:
            if "__pycache__" in path.parts:
                continue
            name = path.relative_to(root).as_posix()
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            state.update(f"{root.name}/{name}\0{content}\n".encode())
    return state.hexdigest()[:32]


class Checkpoints:
    """The generations of one training run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, number: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write generation ``number`` (larger than all before) and drop all but the last two."""
        self.folder.mkdir(parents=True, exist_ok=True)
        final = self.folder / f"{number:09d}"
        if final.exists():
            return  # resumed and asked to end before a step was made
        temporary = self.folder / f".{final.name}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        Bundle(_KIND, dict(state), dict(tensors)).save(temporary)
        for path in temporary.iterdir():
            _flush(path)
        _flush(temporary)
        temporary.rename(final)
        _flush(self.folder)
        for old in self._generations()[_KEEP:]:
            shutil.rmtree(old, ignore_errors=True)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest generation that is whole; None if there is none. Torn ones are removed."""
        for path in self._generations():
            try:
                bundle = Bundle.load(path)
            except ArtefactError as error:
                _LOG.warning("checkpoint passed over: %s", error)
                shutil.rmtree(path, ignore_errors=True)
                continue
            return bundle.tensors, bundle.config
        return None

    def clear(self) -> None:
        """Forget the run: its result is safe elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _generations(self) -> list[Path]:
        """Newest first."""
        if not self.folder.is_dir():
            return []
        return sorted((p for p in self.folder.iterdir() if p.name.isdigit()), reverse=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
