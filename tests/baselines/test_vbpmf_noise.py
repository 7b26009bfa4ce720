"""Baseline ``vbpmf``: what validation users say of its noise."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart.baselines import vbpmf
from coldstart.baselines.vbpmf import VBPMF
from coldstart.data.prepared import Prepared
from coldstart.models.backbones import fit_backbone
from coldstart.params import load_params

PARAMS = Path(__file__).parents[2] / "params.yaml"


def test_validation_users_say_the_same_some_at_a_time(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, users = prepared.history(0), prepared.eval_episodes(0, "validation")
    backbone = fit_backbone("vbpmf", history, users, load_params(PARAMS).pretrain, seed=0)
    model = VBPMF(**VBPMF.taken_over(backbone))
    at_once = model._surprise(users)
    monkeypatch.setattr(vbpmf, "AT_ONCE", 3)
    assert users.n_users % 3  # the last ones are fewer
    assert model._surprise(users) == pytest.approx(at_once)
