"""Where everything lies, relative to the root of a checkout or a scratch workspace.

Stages write under ``artifacts/`` only; ``data/`` belongs to ``data.dvc``. State that is not a
result (databases, caches, checkpoints, logs) lies under ``COLDSTART_HOME``, see
:mod:`coldstart.environment`.
"""

from __future__ import annotations

from pathlib import Path

PARAMS = Path("params.yaml")
DATA = Path("data")
DATA_PIN = Path("data.dvc")
EXPECTATIONS = Path("expectations")

ARTIFACTS = Path("artifacts")
VALIDATION = ARTIFACTS / "validation.json"
PREPARED = ARTIFACTS / "prepared"
BACKBONE = ARTIFACTS / "backbone"
BASELINES = ARTIFACTS / "baselines"
MODELS = ARTIFACTS / "models"
COMBINATIONS = ARTIFACTS / "combinations"
EVALUATION = ARTIFACTS / "evaluation"
METRICS = ARTIFACTS / "metrics.json"
PLOTS = ARTIFACTS / "plots"
SHIPPED = ARTIFACTS / "shipped"
REPORT = ARTIFACTS / "report.html"
LEADERBOARD = ARTIFACTS / "leaderboard.md"


def fold_folder(root: Path, fold: int) -> Path:
    """Folder of one fold: backbones and baselines have one bundle per fold."""
    return root / f"fold-{fold}"


def seed_folder(root: Path, fold: int, seed: int) -> Path:
    """Folder of one training run: meta-learners and combinations have one per fold and seed."""
    return root / f"fold-{fold}" / f"seed-{seed}"
