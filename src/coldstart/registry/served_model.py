"""A promoted method as an MLflow pyfunc; what goes in and out says :mod:`.serving`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel

from coldstart.errors import DataError
from coldstart.served import DEFAULT_K, Served


class ServedModel(PythonModel):  # type: ignore[misc]
    """:class:`~coldstart.served.Served` as MLflow wants it."""

    def load_context(self, context: Any) -> None:
        """Load what was packed."""
        self._served = Served.load(Path(context.artifacts["model"]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Recommend; an input at fault is refused with a message that names it."""
        try:
            k = (params or {}).get("k", DEFAULT_K)
            return self._served.recommend(model_input.to_dict("records"), k)
        except DataError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
