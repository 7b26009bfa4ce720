"""A fitted model on disk: ``model.safetensors`` and a JSON manifest. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from coldstart.errors import ArtefactError

TENSORS = "model.safetensors"
MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class Bundle:
    """``kind`` names the class that can load it, ``config`` holds JSON values only."""

    kind: str
    config: dict[str, Any]
    tensors: dict[str, Tensor]

    def save(self, folder: Path) -> None:
        """Write both files; the same bundle always gives the same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            name: self.tensors[name].detach().cpu().contiguous() for name in sorted(self.tensors)
        }
        payload = save(tensors)
        manifest = {
            "format": FORMAT,
            "kind": self.kind,
            "config": self.config,
            "tensors": {name: [str(t.dtype), list(t.shape)] for name, t in tensors.items()},
            "sha256": hashlib.sha256(payload).hexdigest(),
        }
        (folder / TENSORS).write_bytes(payload)
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Read a bundle and verify its digest.

        Raises:
            ArtefactError: a file is missing, altered, or written by another format version.
        """
        try:
            manifest = json.loads((folder / MANIFEST).read_text())
            payload = (folder / TENSORS).read_bytes()
        except (OSError, ValueError) as error:
            raise ArtefactError(f"{folder}: not a readable bundle: {error}") from error
        if manifest.get("format") != FORMAT:
            raise ArtefactError(
                f"{folder / MANIFEST}: format {manifest.get('format')!r}; this reads {FORMAT}"
            )
        if hashlib.sha256(payload).hexdigest() != manifest["sha256"]:
            raise ArtefactError(
                f"{folder / TENSORS}: its sha256 is not the manifest's; restore the file"
            )
        try:
            tensors = load(payload)
        except SafetensorError as error:
            raise ArtefactError(f"{folder / TENSORS}: {error}") from error
        return cls(kind=manifest["kind"], config=manifest["config"], tensors=tensors)
