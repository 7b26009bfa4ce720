"""A bundle is read by the method that wrote it, or refused in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from coldstart.baselines.item_mean import ItemMean
from coldstart.errors import ArtefactError
from coldstart.evaluation.experiment import untuned_rival
from coldstart.methods import load_method, untuned_names
from coldstart.models.bundle import Bundle
from coldstart.params import Params


@pytest.fixture
def bundle() -> Bundle:
    return ItemMean(torch.arange(4.0)).to_bundle()


def test_a_bundle_comes_back_as_its_method(bundle: Bundle, tmp_path: Path) -> None:
    bundle.save(tmp_path)
    assert isinstance(load_method(tmp_path), ItemMean)


def test_an_unknown_kind_is_named(bundle: Bundle, tmp_path: Path) -> None:
    replace(bundle, kind="oracle").save(tmp_path)
    with pytest.raises(ArtefactError, match="'oracle' is not one of"):
        load_method(tmp_path)


def test_a_bundle_of_another_version_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    replace(bundle, tensors={"renamed": torch.zeros(1)}).save(tmp_path)
    with pytest.raises(ArtefactError, match="written by another version of item_mean"):
        load_method(tmp_path)


def test_untuned_is_what_has_no_parameter(params: Params) -> None:
    assert untuned_names(params) == ("random", "constant", "popularity", "item_mean")
    fewer = {name: v for name, v in params.baselines.items() if name != "item_mean"}
    less = params.model_copy(update={"baselines": fewer})
    assert untuned_names(less) == ("random", "constant", "popularity")


@pytest.mark.parametrize("best", ["constant", "popularity", "item_mean"])
def test_the_rival_is_the_best_untuned_baseline_on_validation_users(
    params: Params, best: str
) -> None:
    """Neither cold users, nor other support sizes, nor a better but tuned method decide."""
    mse = {"random": 9.0, "constant": 2.0, "popularity": 2.0, "item_mean": 2.0, "bias": 0.1}
    rows = pd.DataFrame(
        [("validation", params.gate.shot, name, mse[name] - (name == best)) for name in mse]
        + [("cold", params.gate.shot, "random", 0.0), ("validation", 0, "random", 0.0)],
        columns=["role", "k", "method", "mse"],
    )
    assert untuned_rival(rows, params) == best
