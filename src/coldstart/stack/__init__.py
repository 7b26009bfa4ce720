"""The stack on one machine: Airflow and MLflow, started, followed and ended."""
