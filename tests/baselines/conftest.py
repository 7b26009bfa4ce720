"""A backbone for baselines that do not read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart.data.prepared import Prepared
from coldstart.models.backbone import Backbone
from coldstart.models.backbones import fit_mf
from coldstart.params import load_params

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture(scope="session")
def backbone(prepared: Prepared) -> Backbone:
    """Fitted on fold 0 of ``tiny`` with the committed params."""
    history, validation = prepared.history(0), prepared.eval_episodes(0, "validation")
    return fit_mf(history, validation, load_params(PARAMS).pretrain, seed=0)
