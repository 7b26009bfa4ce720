"""Every method on a device that is not the CPU, without one: no tensor strays (``tagged.py``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from coldstart.algorithms import ALGORITHMS, check_section
from coldstart.baselines import BASELINES
from coldstart.baselines import check_params as check_baselines
from coldstart.combinations import COMBINATIONS, possible
from coldstart.combinations import check_params as check_combinations
from coldstart.combinations.base import Ingredients
from coldstart.data.episodes import Episodes
from coldstart.data.prepared import Prepared
from coldstart.data.spare import spare_choices
from coldstart.models.backbone import Backbone
from coldstart.models.backbones import fit_backbone
from coldstart.models.heads import HEADS
from coldstart.models.recommender import Recommender
from coldstart.params import Params, parse_section, read_yaml
from coldstart.training.checkpoint import Checkpoints
from coldstart.training.fold import training_episodes
from coldstart.training.interrupt import Interrupt
from coldstart.training.loop import meta_train
from coldstart.training.run import Row
from coldstart.training.stopping import Validation
from tagged import DEVICE, StrayTensor, Tagged, elsewhere

PARAMS = Path(__file__).parents[1] / "params.yaml"
FOLD = 0


@pytest.fixture(scope="module")
def params() -> Params:
    """The committed ones, and a training that is over after three steps."""
    raw = read_yaml(PARAMS)
    raw["meta_train"]["loop"] |= {"max_steps": 3, "batch_size": 8, "query_size": 4}
    raw["meta_train"]["loop"] |= {"max_support": 5, "eval_every": 2, "checkpoint_every": 2}
    for section in raw["algorithms"].values():
        section |= {key: 2 for key in ("inner_steps", "latent_steps", "cg_steps") if key in section}
    raw["combine"]["student"] |= {"factors": 4, "steps": 2}
    raw["combine"]["average"] |= {"cycles": 1, "steps": 1}
    raw["pretrain"]["vbpmf_audience"] |= {"sweeps": 3}
    return parse_section(Params, raw, "params.yaml")


@pytest.fixture(scope="module")
def backbones(prepared: Prepared, params: Params) -> Callable[[str], Backbone]:
    history, validation = prepared.history(FOLD), prepared.eval_episodes(FOLD, "validation")
    made: dict[str, Backbone] = {}

    def get(kind: str) -> Backbone:
        if kind not in made:
            made[kind] = fit_backbone(kind, history, validation, params.pretrain, seed=0)
        return made[kind]

    return get


@pytest.fixture(scope="module")
def make(
    prepared: Prepared, params: Params, backbones: Callable[[str], Backbone]
) -> Callable[..., Recommender]:
    """By name: a baseline, an algorithm before its training, or a combination of those."""
    history, asked = prepared.history(FOLD), spare_choices(prepared, FOLD)
    made: dict[tuple[str, str], Recommender] = {}

    def build(name: str, head: str = "rating") -> Recommender:
        default = backbones(params.pretrain.backbone)
        if name in BASELINES:
            backbone = backbones(BASELINES[name].reads or default.kind)
            section: Any = check_baselines(params)[name]
            return BASELINES[name].fit(history, backbone, asked, section, 0)
        if name in ALGORITHMS:
            section = check_section(name, params.algorithms[name])
            return ALGORITHMS[name].create(default, section, HEADS[head], seed=0)
        of = {part: get(part) for part in possible(params)[name]}
        ingredients = Ingredients(of, history, asked, default, params, seed=0)
        return COMBINATIONS[name].make(check_combinations(params)[name], ingredients)

    def get(name: str, head: str = "rating") -> Recommender:
        if (name, head) not in made:
            made[name, head] = build(name, head)
        return made[name, head]

    return get


@pytest.fixture(scope="module")
def episodes(prepared: Prepared) -> Episodes:
    return prepared.eval_episodes(FOLD, "cold").rows(slice(0, 6))


def _likes(episodes: Episodes, head: str) -> Episodes:
    if head == "rating":
        return episodes
    support = episodes.support
    return episodes._replace(
        support=support._replace(targets_BS=(support.targets_BS >= 4).float()),
        targets_BQ=(episodes.targets_BQ >= 4).float(),
    )


def _everything(model: Recommender, episodes: Episodes) -> Iterator[Tensor]:
    """All that a method computes of new users, with support and without."""
    for k in (0, 3):
        state = model.adapt(episodes.support.first(k))
        yield from state.values()
        yield from (x for x in model.score(state, episodes.items_BQ) if x is not None)
        yield model.score_catalogue(state).mean
        yield model.rank_catalogue(state)
        state = model.update(state, episodes.items_BQ[:, 0], episodes.targets_BQ[:, 0])
        yield from state.values()
        yield model.rank_catalogue(state)


@pytest.mark.parametrize("name", [*BASELINES, *ALGORITHMS, *COMBINATIONS])
def test_a_method_serves_where_its_tensors_are(
    make: Callable[..., Recommender], episodes: Episodes, name: str
) -> None:
    model = make(name)
    expected = list(_everything(model, episodes))
    with elsewhere():
        found = list(_everything(model.to(DEVICE), episodes.to(DEVICE)))
    for here, there in zip(expected, found, strict=True):
        assert isinstance(there, Tagged)
        torch.testing.assert_close(there.inner, here, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head", ["rating", "ranking"])  # which adapts as the click head does
@pytest.mark.parametrize("name", ALGORITHMS)
def test_meta_training_on_another_device(
    make: Callable[..., Recommender],
    prepared: Prepared,
    params: Params,
    episodes: Episodes,
    tmp_path: Path,
    name: str,
    head: str,
) -> None:
    """With validation, checkpoints and a second start from them: losses are those of the CPU."""
    learner: Any = make(name, head)
    history = prepared.history(FOLD)

    def train(device: str, folder: str) -> list[Row]:
        generator = torch.Generator().manual_seed(0)
        sampler = training_episodes(params, history, learner.backbone.group_U, generator)
        return meta_train(
            learner.to(device),
            _Judged(sampler, head),
            generator,
            Validation(_likes(episodes, head).to(device), (0, 3), batch_size=4),
            params.meta_train.loop,
            what=name,
            checkpoints=Checkpoints(tmp_path / folder),
            interrupt=Interrupt(),
            device=device,
        ).history

    expected = train("cpu", "here")
    with elsewhere():
        found = train(DEVICE, "there")
        assert train(DEVICE, "there") == found  # from the last checkpoint
    assert [row.step for row in found] == [row.step for row in expected]
    for here, there in zip(expected, found, strict=True):
        assert there.validation == pytest.approx(here.validation, rel=1e-3)
        assert there.training == (here.training and pytest.approx(here.training, rel=1e-3))


class _Judged:
    """Training episodes with the targets of a head."""

    def __init__(self, sampler: Any, head: str) -> None:
        self._sampler, self._head = sampler, head

    def sample(self) -> Episodes:
        return _likes(self._sampler.sample(), self._head)


def test_what_strays_is_found() -> None:
    with elsewhere():
        there = torch.arange(6.0, device=DEVICE).reshape(2, 3)
        assert isinstance(there.new_zeros(3) + 1.0 + torch.tensor(2.0), Tagged)
        assert isinstance(there[torch.tensor([1])], Tagged)
        assert not isinstance(there.cpu(), Tagged)
        for stray in (
            lambda: there + torch.ones(3),
            lambda: torch.ones(7)[there.long()],
            lambda: torch.cat([there, torch.ones(1, 3)]),
            lambda: torch.stack([there[0, 0], torch.tensor(1.0)]),
            lambda: torch.rand(2, device=DEVICE, generator=torch.Generator()),
        ):
            with pytest.raises(StrayTensor):
                stray()
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()
