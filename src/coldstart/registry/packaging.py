"""From a bundle in a workspace to a model that MLflow can serve.

What is packed is enough to serve and to reproduce: bundle, catalogue, encoder, code, ``dvc.lock``,
``params.yaml`` and the decision that let it in. Nothing in it is a pickle.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from coldstart import layout
from coldstart.errors import ArtefactError
from coldstart.models.bundle import MANIFEST, TENSORS
from coldstart.params import Params

_REQUIRES = (
    "mlflow",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "pyyaml",
    "safetensors",
    "scipy",
    "torch",
)
PACKED = ("dvc.lock", "params.yaml", "decision.json")


def pack(folder: Path, bundle: Path, params: Params, decision: Mapping[str, Any]) -> None:
    """Collect everything of a served model below ``folder``.

    Raises:
        ArtefactError: a file of the workspace is missing.
    """
    from coldstart.data.prepared import Prepared
    from coldstart.registry import served_model

    prepared = Prepared.load(layout.PREPARED)
    (folder / served_model.BUNDLE).mkdir(parents=True)
    for name in (TENSORS, MANIFEST):
        _copy(bundle / name, folder / served_model.BUNDLE / name)
    _copy(layout.PREPARED / "encoder.json", folder / served_model.ENCODER)
    items = prepared.items.sort_values("item")
    catalogue = {"keys": items["key"].tolist(), "titles": items["title"].tolist()}
    text = json.dumps(catalogue, ensure_ascii=False)
    (folder / served_model.ITEMS).write_text(text + "\n", encoding="utf-8")
    served_model.Facts(
        dataset=params.data.name,
        method=str(decision["candidate"]["method"]),
        head=params.head,
        min_rating=params.data.min_rating,
        max_rating=params.data.max_rating,
        like=params.data.like,
    ).save(folder)
    _copy(layout.PARAMS, folder / "params.yaml")
    if Path("dvc.lock").exists():
        _copy(Path("dvc.lock"), folder / "dvc.lock")
    (folder / "decision.json").write_text(json.dumps(decision, indent=1, sort_keys=True) + "\n")


def log_model(experiment_id: str, run_id: str, folder: Path) -> tuple[str, str]:
    """Log a packed folder as a model of a run; returns its id and its URI."""
    import mlflow
    from mlflow.models import Model

    mlflow.set_experiment(experiment_id=experiment_id)
    with tempfile.TemporaryDirectory() as scratch:
        info = Model.log(
            artifact_path=None,
            name="recommender",
            flavor=mlflow.pyfunc,
            run_id=run_id,
            python_model=str(Path(__file__).with_name("served_entry.py")),
            artifacts={"model": str(folder)},
            code_paths=[str(_code(Path(scratch)))],
            signature=signature(json.loads((folder / "encoder.json").read_text())),
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in _REQUIRES],
        )
    return str(info.model_id), str(info.model_uri)


def signature(encoder: Mapping[str, Any]) -> Any:
    """Input, output and parameters; the user's attributes are those that the encoder knows."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType, Array, Object, Property

    text, number = DataType.string, DataType.double
    inputs = [
        ColSpec(Array(text), "items", required=False),
        ColSpec(Array(number), "ratings", required=False),
    ]
    names = [column["name"] for column in encoder["columns"]] + list(encoder["dropped"])
    if names:
        fields = [Property(name, AnyType(), required=False) for name in names]
        inputs.append(ColSpec(Object(fields), "user", required=False))
    best = Object([Property("item", text), Property("title", text), Property("score", number)])
    outputs = [ColSpec(Array(best), "recommendations"), ColSpec(Array(text), "unknown_items")]
    k = ParamSpec("k", DataType.long, 10)
    return ModelSignature(Schema(inputs), Schema(outputs), ParamSchema([k]))


def _code(scratch: Path) -> Path:
    """A copy of the package's sources, so that a version is served by the code that made it."""
    target = scratch / "coldstart"
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc", "stack")
    shutil.copytree(Path(__file__).resolve().parents[1], target, ignore=ignore)
    return target


def _copy(source: Path, target: Path) -> None:
    if not source.exists():
        raise ArtefactError(f"{source}: not found; run the pipeline first (`dvc repro`)")
    shutil.copyfile(source, target)
