"""What MLflow runs to load a served model ("model from code"); imported by nothing else."""

from mlflow.models import set_model

from coldstart.registry.served_model import ServedModel

set_model(ServedModel())
