"""What makes two runs the same run: the orchestrator's key, else params, data and code.

Loads neither mlflow nor torch.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml

from coldstart import environment, layout


def run_key() -> str:
    """Key of the parent run that everything in this workspace belongs to."""
    given = environment.RUN_KEY.text()
    if given:
        return given
    digest = hashlib.blake2b(digest_size=8)
    params = yaml.safe_load(layout.PARAMS.read_text())
    digest.update(repr(sorted(flatten(params).items())).encode())
    data = layout.DATA_PIN
    digest.update(data.read_bytes() if data.exists() else b"")
    digest.update(code_digest().encode())
    return f"local-{digest.hexdigest()}"


def code_digest() -> str:
    """Digest of the package's sources, whatever the state of git."""
    digest = hashlib.blake2b(digest_size=16)
    root = Path(__file__).resolve().parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def flatten(tree: Any, prefix: str = "") -> dict[str, str]:
    """Nested mappings as dotted keys with values as text; a list is one value."""
    if not isinstance(tree, dict):
        return {prefix: str(tree)}
    flat: dict[str, str] = {}
    for key, value in tree.items():
        flat.update(flatten(value, f"{prefix}.{key}".lstrip(".")))
    return flat


def experiment_name(params: dict[str, Any]) -> str:
    """Experiment, and registered model, of a dataset and head."""
    head = "" if params["head"] == "rating" else f"-{params['head']}"
    return f"coldstart-{params['data']['name']}{head}"


def stage_params(params: dict[str, Any], stage: str, algorithm: str | None) -> dict[str, str]:
    """Flat params of the sections that a stage is named after."""
    chosen = {stage: params.get(stage, {}), "seed": params["seed"], "threads": params["threads"]}
    if algorithm is not None:
        chosen["algorithms"] = {algorithm: params["algorithms"].get(algorithm, {})}
        chosen["device"] = params["device"]
    if stage == "pretrain":
        chosen["baselines"] = params["baselines"]
    return flatten(chosen)
