"""Methods fitted on ``tiny``, and every combination made of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from coldstart.algorithms import ALGORITHMS, check_section
from coldstart.baselines import BASELINES
from coldstart.baselines import check_params as check_baselines
from coldstart.combinations import COMBINATIONS, check_params, possible
from coldstart.combinations._list_signals import Company, Signals
from coldstart.combinations._list_strangers import Crowd
from coldstart.combinations.base import Ingredients
from coldstart.combinations.list import ListParams
from coldstart.data.episodes import Episodes, History
from coldstart.data.prepared import Prepared
from coldstart.data.spare import spare_choices
from coldstart.models.backbone import Backbone
from coldstart.models.backbones import fit_backbone
from coldstart.models.exposure import with_exposure
from coldstart.models.heads import HEADS
from coldstart.models.recommender import Recommender
from coldstart.params import ExposureParams, Params, parse_section, read_yaml

PARAMS = Path(__file__).parents[2] / "params.yaml"
MEMBERS = ("itemknn", "vbpmf_implicit", "random")
Make = Callable[..., Recommender]


@pytest.fixture(scope="session")
def params() -> Params:
    """The committed ones, with members that are quickly fitted."""
    raw = read_yaml(PARAMS)
    raw["meta_train"]["algorithms"] = ["bayes_head"]
    raw["meta_train"]["loop"] |= {"batch_size": 16, "query_size": 5, "max_support": 10}
    raw["combine"]["average"] |= {"of": "bayes_head", "cycles": 2, "steps": 2}
    raw["combine"]["blend"]["members"] = ["bayes_head", *MEMBERS]
    raw["combine"]["list"]["factors"] = [4, 8]
    raw["combine"]["student"] |= {"factors": 4, "steps": 20}
    return parse_section(Params, raw, "params.yaml")


@pytest.fixture(scope="session")
def backbone(prepared: Prepared, params: Params) -> Backbone:
    history, validation = prepared.history(0), prepared.eval_episodes(0, "validation")
    return fit_backbone("vbpmf", history, validation, params.pretrain, seed=0)


@pytest.fixture(scope="session")
def methods(prepared: Prepared, params: Params, backbone: Backbone) -> dict[str, Recommender]:
    """By name; the meta-learner as a bundle brings it back, without cross-fitted tables."""
    history, validation = prepared.history(0), prepared.eval_episodes(0, "validation")
    sections = check_baselines(params)
    section: Any = check_section("bayes_head", params.algorithms["bayes_head"])
    learner = ALGORITHMS["bayes_head"].create(backbone, section, HEADS["rating"], seed=0)
    return {
        "bayes_head": type(learner).from_bundle(learner.to_bundle()),
        **{n: BASELINES[n].fit(history, backbone, validation, sections[n], 0) for n in MEMBERS},
    }


@pytest.fixture(scope="session")
def ingredients(
    methods: dict[str, Recommender], prepared: Prepared, backbone: Backbone, params: Params
) -> Ingredients:
    history, validation = prepared.history(0), spare_choices(prepared, 0)
    return Ingredients(methods, history, validation, backbone, params, seed=0)


@pytest.fixture(scope="session")
def make(ingredients: Ingredients, params: Params) -> Make:
    """``make("blend")``; each is made of those before it, as in a run."""

    def build(name: str) -> Recommender:
        known = dict(ingredients.methods)
        for each, of in possible(params).items():
            chosen = {method: known[method] for method in of}
            needed = Ingredients(chosen, *list(vars(ingredients).values())[1:])
            known[each] = COMBINATIONS[each].make(check_params(params)[each], needed)
            if each == name:
                break
        return known[name]

    return build


@pytest.fixture(scope="session")
def episodes(prepared: Prepared) -> Episodes:
    return prepared.eval_episodes(0, "cold").rows(slice(0, 7))


@pytest.fixture(scope="session")
def section(params: Params) -> ListParams:
    found = check_params(params)["list"]
    assert isinstance(found, ListParams)
    return found.model_copy(update={"penalty": 20.0})


@pytest.fixture(scope="session")
def history(prepared: Prepared) -> History:
    return prepared.history(0)


@pytest.fixture(scope="session")
def company(history: History, section: ListParams) -> Company:
    return Company.fit(history, section.below, section.penalty, section.max_items)


@pytest.fixture(scope="session")
def crowd(history: History, company: Company, section: ListParams) -> Crowd:
    return Crowd.fit(history, company.items_M, section.held)


@pytest.fixture(scope="session")
def signals(
    ingredients: Ingredients,
    history: History,
    company: Company,
    crowd: Crowd,
    section: ListParams,
) -> Signals:
    exposure = ExposureParams(factors=section.factors[0], **section.exposure.model_dump())
    backbone = with_exposure(ingredients.backbone, history, exposure, seed=0)
    below = torch.tensor(section.below)
    return Signals(backbone, company.items_M, company.weights, below, crowd.strangers)
