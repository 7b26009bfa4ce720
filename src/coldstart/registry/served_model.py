"""A promoted method as an MLflow pyfunc; what goes in and out says :mod:`.serving`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel

from coldstart.errors import DataError
from coldstart.registry.serving import DEFAULT_K, Served


class ServedModel(PythonModel):  # type: ignore[misc]
    """:class:`~coldstart.registry.serving.Served` as MLflow wants it."""

    def load_context(self, context: Any) -> None:
        """Load what was packed."""
        self._served = Served.load(Path(context.artifacts["model"]))

    # without type hints: MLflow would derive a signature from them
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Recommend; an input at fault is refused with a message that names it."""
        try:
            k = int((params or {}).get("k", DEFAULT_K))
            return self._served.recommend(_users(model_input), k)
        except DataError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


def _users(model_input: Any) -> list[Mapping[str, Any]]:
    """Users of a data frame, a list, or a single one."""
    if hasattr(model_input, "to_dict") and hasattr(model_input, "columns"):
        return list(model_input.to_dict("records"))
    if isinstance(model_input, Mapping):
        return [model_input]
    return list(model_input)
