"""A bundle is read by the method that wrote it, or refused in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from coldstart.baselines.item_mean import ItemMean
from coldstart.errors import ArtefactError
from coldstart.methods import load_method
from coldstart.models.bundle import Bundle


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
