"""What ``validate`` wrote of the data, read before anything is learnt from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from coldstart.errors import ArtefactError


def read_validated(validation: Path, digest: str) -> dict[str, Any]:
    """The profile in ``validation.json``, which must be of the data with this digest.

    Raises:
        ArtefactError: it is missing, or of other data.
    """
    try:
        profile: dict[str, Any] = json.loads(validation.read_bytes())["profile"]
    except (FileNotFoundError, ValueError, KeyError):
        raise ArtefactError(f"{validation}: not found; run `coldstart validate`") from None
    if profile["digest"] != digest:
        raise ArtefactError(
            f"{validation}: is of other data (digest {profile['digest']}, now {digest}); "
            "run `coldstart validate`"
        )
    return profile
