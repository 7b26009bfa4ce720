"""From a bundle in a workspace to a model that MLflow can serve.

What is packed is enough to serve and to reproduce: bundle, catalogue, encoder, code, ``dvc.lock``,
``params.yaml`` and the decision that let it in. Nothing in it is a pickle.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from coldstart import layout
from coldstart.data.prepared import Prepared
from coldstart.errors import ArtefactError
from coldstart.models.bundle import MANIFEST, TENSORS
from coldstart.params import Params
from coldstart.registry.promotion import Version
from coldstart.served import BUNDLE, DEFAULT_K, ENCODER, FACTS, ITEMS, Facts

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
_NOT_SERVED = ("stack", "stages", "pages", "cli", "__main__.py", "workspace.py")
_REPRODUCES = ("dvc.lock", "params.yaml", "decision.json")


def pack(
    folder: Path, bundle: Path, prepared: Prepared, params: Params, decision: Mapping[str, Any]
) -> None:
    """Collect everything of a served model below ``folder``.

    Raises:
        ArtefactError: a file of the workspace is missing.
    """
    (folder / BUNDLE).mkdir(parents=True)
    for name in (TENSORS, MANIFEST):
        _copy(bundle / name, folder / BUNDLE / name)
    _copy(layout.PREPARED / "encoder.json", folder / ENCODER)
    items = prepared.items.sort_values("item")
    catalogue = {"keys": items["key"].tolist(), "titles": items["title"].tolist()}
    text = json.dumps(catalogue, ensure_ascii=False)
    (folder / ITEMS).write_text(text + "\n", encoding="utf-8")
    Facts(
        dataset=params.data.name,
        method=str(decision["candidate"]["method"]),
        head=params.head,
        min_rating=params.data.min_rating,
        max_rating=params.data.max_rating,
        like=params.data.like if params.data.rated else None,
        fold=int(decision["candidate"]["fold"]),
        cut=prepared.summary["cut"],
        unit=prepared.unit(int(decision["candidate"]["fold"])),
    ).save(folder)
    _copy(layout.PARAMS, folder / "params.yaml")
    if Path("dvc.lock").exists():
        _copy(Path("dvc.lock"), folder / "dvc.lock")
    (folder / "decision.json").write_text(json.dumps(decision, indent=1, sort_keys=True) + "\n")


def log_model(experiment_id: str, run_id: str, folder: Path) -> str:
    """Log a packed folder as a model of a run; returns its URI."""
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asks for an example; the signature is explicit
        import mlflow.pyfunc
        from mlflow.models import Model

        mlflow.set_experiment(experiment_id=experiment_id)
        info = Model.log(
            artifact_path=None,
            name="recommender",
            flavor=mlflow.pyfunc,
            run_id=run_id,
            python_model=str(Path(__file__).with_name("served_entry.py")),
            artifacts={"model": str(folder)},
            code_paths=[str(_code(Path(scratch)))],
            signature=signature(rated=Facts.load(folder).scale is not None),
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in _REQUIRES],
        )
    return str(info.model_uri)


def download(version: Version, target: Path) -> Path:
    """Fetch the packed folder of a version into ``target``.

    Raises:
        ArtefactError: it is not there any more.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        fetched = Path(download_artifacts(artifact_uri=version.uri, dst_path=str(target)))
    except (MlflowException, OSError) as error:
        raise ArtefactError(f"{version.uri}: cannot be downloaded: {error}") from error
    found = list(fetched.glob("artifacts/*/" + FACTS))
    if len(found) != 1:
        raise ArtefactError(f"{version.uri}: holds no served model of this program")
    return found[0].parent


def fetch_files(version: Version, target: Path) -> None:
    """Copy what reproduces a version with ``dvc repro`` into ``target``.

    Raises:
        ArtefactError: as :func:`download`.
    """
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = download(version, Path(scratch))
        for name in _REPRODUCES:
            if (folder / name).exists():
                shutil.copyfile(folder / name, target / name)


def signature(*, rated: bool) -> Any:
    """Input, output and parameters. Keys and ratings may be numbers or texts, as JSON has them.

    An array of them would be made one of numpy's, in which a truth value turns into a number.

    A method that was not learnt from ratings refuses them, with a message of its own.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType, Array, Object, Property

    inputs = [
        ColSpec(AnyType(), "items"),
        ColSpec(AnyType(), "ratings", required=rated),
        ColSpec(AnyType(), "user", required=False),
    ]
    text, number = DataType.string, DataType.double
    best = Object([Property("item", text), Property("title", text), Property("score", number)])
    outputs = [ColSpec(Array(best), "recommendations"), ColSpec(Array(text), "unknown_items")]
    k = ParamSpec("k", DataType.long, DEFAULT_K)
    return ModelSignature(Schema(inputs), Schema(outputs), ParamSchema([k]))


def _code(scratch: Path) -> Path:
    """A copy of the sources that serving needs: a version is served by the code that made it."""
    target = scratch / "coldstart"
    ignore = shutil.ignore_patterns("__pycache__", *_NOT_SERVED)
    shutil.copytree(Path(__file__).resolve().parents[1], target, ignore=ignore)
    return target


def _copy(source: Path, target: Path) -> None:
    if not source.exists():
        raise ArtefactError(f"{source}: not found; run the pipeline first (`dvc repro`)")
    shutil.copyfile(source, target)
