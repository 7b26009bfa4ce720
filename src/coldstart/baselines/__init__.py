"""Baselines: what every meta-learner must beat, tuned with the same care, and two canaries."""

from __future__ import annotations

from coldstart.baselines._base import Baseline
from coldstart.baselines.bias import Bias
from coldstart.baselines.constant import Constant
from coldstart.baselines.deepfm import DeepFMBaseline
from coldstart.baselines.ease import Ease
from coldstart.baselines.gp import GP
from coldstart.baselines.item_mean import ItemMean
from coldstart.baselines.itemknn import ItemKNN
from coldstart.baselines.popularity import Popularity
from coldstart.baselines.random import Random
from coldstart.baselines.ridge import Ridge
from coldstart.baselines.vbpmf import VBPMF
from coldstart.baselines.vbpmf_implicit import VBPMFImplicit
from coldstart.errors import ParamsError
from coldstart.params import Params, Section, parse_section

BASELINES: dict[str, type[Baseline]] = {
    "random": Random,
    "constant": Constant,
    "popularity": Popularity,
    "item_mean": ItemMean,
    "bias": Bias,
    "itemknn": ItemKNN,
    "ridge": Ridge,
    "ease": Ease,
    "gp": GP,
    "deepfm": DeepFMBaseline,
    "vbpmf": VBPMF,
    "vbpmf_implicit": VBPMFImplicit,
}
"""By the name of their section in ``params.yaml``."""


def check_params(params: Params) -> dict[str, Section]:
    """The checked section of each baseline that ``params.yaml`` asks for, in its order.

    Raises:
        ParamsError: an unknown baseline or key, or a value out of range.
    """
    for name in params.baselines:
        if name not in BASELINES:
            raise ParamsError(
                f"baselines.{name}: unknown baseline; allowed here: {', '.join(sorted(BASELINES))}"
            )
    return {
        name: parse_section(BASELINES[name].Params, raw, f"baselines.{name}")
        for name, raw in params.baselines.items()
    }
