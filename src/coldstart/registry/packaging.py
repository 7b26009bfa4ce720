"""From what ``ship`` made to a model that MLflow can serve.

What is packed is enough to serve and to reproduce: what ships, the recipe, code, ``dvc.lock``,
``params.yaml`` and the decision that let it in. Nothing in it is a pickle.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from importlib import metadata
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

from coldstart import layout
from coldstart.errors import ArtefactError
from coldstart.recipe import RECIPE
from coldstart.registry.decision import Decision
from coldstart.registry.promotion import Version
from coldstart.served import DEFAULT_K, FACTS, Facts

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
_ENTRY = Path(__file__).with_name("served_entry.py")
DECISION = "decision.json"
_REPRODUCES = ("dvc.lock", "params.yaml", "data.dvc", RECIPE, DECISION)


def pack(folder: Path, decision: Decision) -> None:
    """Collect everything of a served model below ``folder``.

    Raises:
        ArtefactError: a file of the workspace is missing.
    """
    _require(layout.SHIPPED / FACTS)
    shutil.copytree(layout.SHIPPED, folder)
    shutil.copyfile(_require(layout.PARAMS), folder / "params.yaml")
    for name in ("dvc.lock", "data.dvc"):
        if Path(name).exists():
            shutil.copyfile(name, folder / name)
    (folder / DECISION).write_text(decision.model_dump_json(indent=1) + "\n", encoding="utf-8")


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
            python_model=str(_ENTRY),
            artifacts={"model": str(folder)},
            code_paths=[str(code(Path(scratch)))],
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


def code(target: Path) -> Path:
    """Copy what serving imports below ``target``: a version is served by the code that made it.

    Follows the imports from the entry, those inside functions included, without running anything.
    """
    package = Path(__file__).resolve().parents[1]
    finder = ModuleFinder(path=[str(package.parent)])
    finder.run_script(str(_ENTRY))
    for name, module in finder.modules.items():
        file = getattr(module, "__file__", None)  # not in its stub
        if name.partition(".")[0] == package.name and file is not None:
            source = Path(file)
            copy = target / source.relative_to(package.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    return target / package.name


def _require(path: Path) -> Path:
    if not path.exists():
        raise ArtefactError(f"{path}: not found; run the pipeline first (`dvc repro`)")
    return path
