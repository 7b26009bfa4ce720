"""What MLflow runs to load a served model ("model from code"); imported by nothing else."""

import warnings

from mlflow.models import set_model

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the signature is explicit, so type hints are not wanted
    from coldstart.registry.served_model import ServedModel

set_model(ServedModel())
