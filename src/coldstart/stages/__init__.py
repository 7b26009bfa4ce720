"""One file per stage: read, call the library, write. Nothing here knows of Airflow."""

STAGES = ("validate", "prepare", "pretrain", "meta_train", "combine", "evaluate", "report")
"""The stages in the order of the pipeline, by their name in ``dvc.yaml``."""
