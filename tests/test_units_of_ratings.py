"""Every method is invariant to the unit of the ratings: any affine change of them changes nothing.

The same order of items but for pairs closer than 1e-4, and errors equal after division by the
scale to 1e-3.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coldstart.algorithms import ALGORITHMS
from coldstart.algorithms import check_params as check_algorithms
from coldstart.baselines._fitting import fit_backbones, fit_baselines
from coldstart.combinations import COMBINATIONS, possible
from coldstart.combinations import check_params as check_combinations
from coldstart.combinations.base import Ingredients
from coldstart.data.prepared import Prepared
from coldstart.data.sources import Source, read_source
from coldstart.data.spare import spare_choices, spare_episodes
from coldstart.data.tables import prepare_source
from coldstart.evaluation.evaluation_set import evaluation_set
from coldstart.evaluation.protocol import evaluate
from coldstart.methods import method_names
from coldstart.models.heads import HEADS
from coldstart.models.recommender import Recommender
from coldstart.params import DataParams, Params, PrepareParams, parse_section, read_yaml
from coldstart.progress import silent
from coldstart.training.checkpoint import Checkpoints
from coldstart.training.fold import train
from coldstart.training.interrupt import Interrupt

from .conftest import write_tiny

ROOT = Path(__file__).parents[1]
FOLD = 0
CLOSE = 1e-4
UNITS = st.tuples(st.floats(-3, 3).map(lambda power: 10**power), st.floats(-1e3, 1e3))
"""Scale, and shift in units of it."""


class Found(NamedTuple):
    """Of one method."""

    ranks_BN: torch.Tensor  # what the catalogue is ordered by
    scores_BN: torch.Tensor  # predicted ratings, standardised
    users: Any  # per-user results


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = write_tiny(tmp_path_factory.mktemp("units") / "tiny", n_users=60)
    return read_source(folder, "tiny")


@pytest.fixture(scope="module")
def params(prepare_params: PrepareParams, data_params: DataParams) -> Params:
    """The committed ones with every algorithm there is, trained for a few steps."""
    raw = read_yaml(ROOT / "params.yaml")
    raw["meta_train"]["algorithms"] = list(ALGORITHMS)
    raw["meta_train"]["loop"] |= {"max_steps": 2, "eval_every": 1, "batch_size": 8}
    raw["pretrain"]["deepfm"]["epochs"] = raw["pretrain"]["two_tower"]["epochs"] = 1
    raw["combine"]["student"]["steps"] = 3
    raw["combine"]["average"] |= {"cycles": 1, "steps": 1}
    params = parse_section(Params, raw, "params.yaml")
    prepare = prepare_params.model_copy(update={"folds": (FOLD,), "shots": (0, 1, 5)})
    return params.model_copy(update={"data": data_params, "prepare": prepare})


def in_unit(params: Params, scale: float, shift: float) -> Params:
    data = params.data.model_copy(
        update={
            key: scale * (getattr(params.data, key) + shift)
            for key in ("min_rating", "max_rating", "like")
        }
    )
    return params.model_copy(update={"data": data})


def prepared_in(source: Source, params: Params, scale: float, shift: float) -> Prepared:
    """What ``prepare`` makes of the ratings in another unit."""
    ratings = source.ratings.assign(rating=scale * (source.ratings["rating"] + shift))
    own = in_unit(params, scale, shift)
    changed = replace(source, ratings=ratings)
    return prepare_source(changed, own.data, own.prepare, seed=0, head="rating")


def fitted(prepared: Prepared, params: Params, folder: Path) -> dict[str, Recommender]:
    """Every method of ``methods.py``."""
    history, asked = prepared.history(FOLD), spare_choices(prepared, FOLD)
    backbones = fit_backbones(history, asked, params, params.baselines)
    models = dict(fit_baselines(history, asked, params, backbones, params.baselines))
    backbone = backbones[params.pretrain.backbone]
    for name, section in check_algorithms(params).items():
        learner = ALGORITHMS[name].create(backbone, section, HEADS["rating"], seed=0)
        kept = Checkpoints(folder / name)
        models[name] = train(learner, params, history, asked, 0, kept, Interrupt()).learner
    sections: Any = check_combinations(params)
    for name, of in possible(params).items():
        parts = {part: models[part] for part in of}
        needed = Ingredients(parts, history, asked, backbone, params, seed=0)
        models[name] = COMBINATIONS[name].make(sections[name], needed)
    return models


def everything(
    source: Source, params: Params, folder: Path, scale: float, shift: float
) -> dict[str, Found]:
    prepared, own = prepared_in(source, params, scale, shift), in_unit(params, scale, shift)
    target = evaluation_set(prepared, own, FOLD, "cold")
    found = {}
    with silent():
        models = fitted(prepared, own, folder)
    for name, model in models.items():
        state = model.adapt(target.episodes.support)
        users = evaluate(model, target, own.prepare.shots, catalogue=True).users
        ranks, scores = model.rank_catalogue(state), model.score_catalogue(state).mean
        found[name] = Found(ranks, scores, users)
    return found


@pytest.fixture(scope="module")
def stars(
    source: Source, params: Params, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Found]:
    return everything(source, params, tmp_path_factory.mktemp("stars"), 1.0, 0.0)


def _same_order(here_BN: torch.Tensor, there_BN: torch.Tensor) -> bool:
    apart_BNN = here_BN[:, :, None] - here_BN[:, None, :] > CLOSE
    return bool((there_BN[:, :, None] > there_BN[:, None, :])[apart_BNN].all())


@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(unit=UNITS)
def test_no_method_knows_the_unit_of_the_ratings(
    source: Source,
    params: Params,
    stars: dict[str, Found],
    tmp_path_factory: pytest.TempPathFactory,
    unit: tuple[float, float],
) -> None:
    scale, shift = unit
    found = everything(source, params, tmp_path_factory.mktemp("unit"), scale, shift)
    assert set(found) == set(method_names(params))
    for name, here in stars.items():
        there = found[name]
        assert _same_order(here.ranks_BN, there.ranks_BN), name
        assert _same_order(here.scores_BN, there.scores_BN), name
        for metric, size in (("mse", scale**2), ("mae", scale)):
            errors = (there.users[metric] / size).to_numpy()
            assert errors == pytest.approx(here.users[metric].to_numpy(), rel=1e-3), name
        for metric in ("ndcg@5", "auc", "list_recall@10", "covered@80"):
            if metric in here.users:
                gap = (there.users[metric] - here.users[metric]).abs().max()
                assert not gap > CLOSE, (name, metric)


@settings(max_examples=50, deadline=None)
@given(unit=UNITS)
def test_what_methods_are_handed_is_the_same(
    source: Source, params: Params, unit: tuple[float, float]
) -> None:
    """Nearly always to the bit, so that no amount of training tells two units apart."""
    here, there = prepared_in(source, params, 1.0, 0.0), prepared_in(source, params, *unit)
    pairs = [
        (prepared.history(FOLD), prepared.eval_episodes(FOLD, "cold"), spare_episodes(prepared, 0))
        for prepared in (here, there)
    ]
    for one, other in zip(*pairs, strict=True):
        targets = [
            value
            for each in (one, other)
            for name, value in each._asdict().items()
            if name.startswith("targets")
        ]
        half = len(targets) // 2
        for left, right in zip(targets[:half], targets[half:], strict=True):
            torch.testing.assert_close(left, right, rtol=0, atol=1e-6)
    assert pairs[0][0].like == pytest.approx(pairs[1][0].like, abs=1e-6)
