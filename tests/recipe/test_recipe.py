"""A recipe is what can be learnt again: the same bytes from the same users, or from others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from coldstart import layout
from coldstart.baselines import BASELINES
from coldstart.data.choices import Choices
from coldstart.data.episodes import History
from coldstart.data.everyone import everyone, marks
from coldstart.data.prepared import Prepared
from coldstart.data.spare import spare_choices
from coldstart.errors import ArtefactError, ParamsError
from coldstart.methods import bundle_folder
from coldstart.models.recommender import Recommender
from coldstart.params import Params, parse_section, read_yaml
from coldstart.recipe import Learning, Recipe
from lists_asked import assert_unjudged, lists_asked

ROOT = Path(__file__).parents[2]
MADE = ("bayes_head", "multitask", "finetune", "average", "blend", "list", "student")


def changed(**sections: dict[str, Any]) -> Params:
    """The committed params, small; sections are overlaid."""
    raw = read_yaml(ROOT / "params.yaml")
    raw["threads"] = 1
    raw["meta_train"]["algorithms"] = ["bayes_head", "multitask", "finetune"]
    loop = {"batch_size": 8, "max_steps": 6, "eval_every": 2, "query_size": 5, "max_support": 8}
    raw["meta_train"]["loop"] |= loop
    raw["pretrain"]["two_tower"]["epochs"] = raw["pretrain"]["deepfm"]["epochs"] = 2
    raw["baselines"]["deepfm"]["epochs"] = 2
    raw["combine"]["average"] |= {"cycles": 1, "steps": 2}
    raw["combine"]["blend"]["members"] = ["bayes_head", "bias", "vbpmf_implicit", "popularity"]
    raw["combine"]["student"] |= {"factors": 4, "steps": 5}
    for name, overlay in sections.items():
        raw[name] |= overlay
    return parse_section(Params, raw, "params.yaml")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLDSTART_HOME", str(tmp_path))


def content(method: Recommender) -> tuple[Any, dict[str, bytes]]:
    bundle = method.to_bundle()
    tensors = {name: t.contiguous().numpy().tobytes() for name, t in bundle.tensors.items()}
    return bundle.config, tensors


def asked(prepared: Prepared, params: Params, name: str) -> tuple[Recommender, Choices]:
    """A proof of fold 0, and what its validation users chose."""
    choices = spare_choices(prepared, 0)
    recipe = Recipe.of(params, name, 0)
    return Learning(recipe, params, prepared.history(0), choices).learn(), choices


def remembered(choices: Choices) -> Choices:
    """What was chosen after its way through a file."""
    return Choices(made=json.loads(json.dumps(choices.made)))


@pytest.mark.parametrize("name", [*BASELINES, *MADE])
def test_what_was_chosen_gives_the_same_bytes_again(prepared: Prepared, name: str) -> None:
    """So a proof and what ships differ by the ratings alone."""
    params = changed()
    proof, choices = asked(prepared, params, name)
    recipe = Recipe.of(params, name, 0)
    again = Learning(recipe, params, prepared.history(0), remembered(choices)).learn()
    assert content(again) == content(proof)


@pytest.mark.parametrize("kind", ["two_tower", "deepfm"])
def test_so_does_a_backbone_that_stops_early(prepared: Prepared, kind: str) -> None:
    params = changed(pretrain={"backbone": kind})
    proof, choices = asked(prepared, params, "bayes_head")
    assert choices.made["backbone"][kind]["epochs"] in range(3)
    recipe = Recipe.of(params, "bayes_head", 0)
    again = Learning(recipe, params, prepared.history(0), remembered(choices)).learn()
    assert content(again) == content(proof)


def test_training_takes_the_steps_that_were_chosen_with_their_sizes(prepared: Prepared) -> None:
    params = changed()
    _, choices = asked(prepared, params, "multitask")
    recipe, history = Recipe.of(params, "multitask", 0), prepared.history(0)

    def theta(steps: int) -> torch.Tensor:
        made = choices.made | {"multitask": choices.made["multitask"] | {"steps": steps}}
        learnt = Learning(recipe, params, history, Choices(made=made)).learn()
        return learnt.tensors()["theta.task_HT"]

    assert not torch.equal(theta(0), theta(1))
    assert not torch.equal(theta(1), theta(4))


def test_nobody_is_asked_twice(prepared: Prepared) -> None:
    params = changed()
    recipe = Recipe.of(params, "ridge", 0)
    with pytest.raises(ArtefactError, match="'noise' was not chosen"):
        Learning(recipe, params, prepared.history(0), Choices()).learn()


def test_lists_leave_out_what_evaluation_reads(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = lists_asked(monkeypatch)
    asked(prepared, changed(), "list")
    (found,) = lists
    assert_unjudged(found, prepared, 0)


def test_a_member_without_weight_is_not_learnt_again(prepared: Prepared) -> None:
    params = changed()
    _, choices = asked(prepared, params, "blend")
    made = remembered(choices).made
    weights = torch.tensor(made["blend"]["weights_KM"])
    made["blend"]["weights_KM"] = torch.eye(4)[1].expand(len(weights), 4).tolist()  # bias alone
    learning = Learning(
        Recipe.of(params, "blend", 0), params, prepared.history(0), Choices(made=made)
    )
    assert list(learning.learn().members) == ["bias"]  # type: ignore[attr-defined]
    assert set(learning._methods) == {"bias", "blend"}


def test_identity_is_what_is_read_and_nothing_else() -> None:
    base = Recipe.of(changed(), "ridge", 0)
    same = [
        Recipe.of(changed(meta_train={"seeds": [1]}), "ridge", 1),  # seeds are luck
        Recipe.of(changed(pretrain={"backbone": "vbpmf"}), "ridge", 0),  # ridge reads mf
        base.model_copy(update={"seed": 5, "chosen": {"ridge": {"noise": 1.0}}}),
    ]
    assert {recipe.digest for recipe in same} == {base.digest}
    own = {"ridge": {"bias_penalty": 1.0, "factor_penalty": 5.0}}
    baselines = changed().baselines
    others = [
        Recipe.of(changed(baselines=baselines | own), "ridge", 0),
        Recipe.of(
            changed(pretrain={"mf": changed().pretrain.mf.model_dump() | {"sweeps": 3}}), "ridge", 0
        ),
        Recipe.of(changed(), "bias", 0),
    ]
    assert len({base.digest, *(recipe.digest for recipe in others)}) == 4


def test_a_blend_is_another_recipe_when_a_member_is() -> None:
    base = Recipe.of(changed(), "blend", 0)
    bias = changed().baselines["bias"] | {"item_damping": 9.0}
    other = Recipe.of(changed(baselines=changed().baselines | {"bias": bias}), "blend", 0)
    idle = changed().baselines["itemknn"] | {"neighbours": 3}
    same = Recipe.of(changed(baselines=changed().baselines | {"itemknn": idle}), "blend", 0)
    assert other.digest != base.digest == same.digest


def test_a_recipe_is_learnt_where_params_are_others(prepared: Prepared, tmp_path: Path) -> None:
    """As the gate does with the champion's: its sections, this run's shots and users."""
    recipe = Recipe.of(changed(), "blend", 0)
    recipe.save(tmp_path)
    here = changed(baselines={"bias": {**changed().baselines["bias"], "item_damping": 9.0}})
    vbpmf = here.pretrain.vbpmf.model_copy(update={"sweeps": 2})
    pretrain = here.pretrain.model_copy(update={"backbone": "mf", "vbpmf": vbpmf})
    here = here.model_copy(update={"combine": {}, "pretrain": pretrain})
    loaded = Recipe.load(tmp_path)
    assert loaded == recipe
    own = loaded.params(here)
    assert Recipe.of(own, "blend", 0).digest == recipe.digest
    assert own.prepare == here.prepare
    learnt = Learning(loaded, here, prepared.history(0), spare_choices(prepared, 0)).learn()
    assert content(learnt) == content(asked(prepared, changed(), "blend")[0])


def test_a_recipe_that_this_code_does_not_know_is_refused_by_its_key() -> None:
    recipe = Recipe.of(changed(), "ridge", 0)
    sections = recipe.sections | {"baselines": {"ridge": {"former": 1.0}}}
    with pytest.raises(ParamsError, match=r"baselines.ridge: former: unknown key"):
        recipe.model_copy(update={"sections": sections}).params(changed())


def test_of_what_was_evaluated_the_choices_of_all_parts_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the fold and seed, and of the backbones that the method reads."""
    monkeypatch.chdir(tmp_path)
    params = changed(pretrain={"backbone": "deepfm"})
    parts = ("bayes_head", "bias", "vbpmf_implicit", "popularity", "blend")
    for name in parts:
        for fold, seed in ((0, 1), (1, 1), (0, 0)):
            folder = bundle_folder(name, fold, seed)
            folder.mkdir(parents=True, exist_ok=True)
            if name in BASELINES:  # one for all seeds
                seed = 0
            Choices(made={"of": [name, fold, seed]}).save(folder)
    folder = layout.fold_folder(layout.BACKBONE, 1)
    folder.mkdir(parents=True)
    kinds = ("mf", "vbpmf", "deepfm", "two_tower")
    Choices(made={kind: {"epochs": n} for n, kind in enumerate(kinds)}).save(folder)
    found = Recipe.evaluated(params, "blend", 1, 1)
    assert found.model_copy(update={"chosen": {}}) == Recipe.of(params, "blend", 1)
    backbones = found.chosen.pop("backbone")
    assert found.chosen == {
        name: {"of": [name, 1, 0 if name in BASELINES else 1]} for name in parts
    }
    assert backbones == {"vbpmf": {"epochs": 1}, "deepfm": {"epochs": 2}}


def test_what_was_learnt_from_other_ratings_is_no_checkpoint(prepared: Prepared) -> None:
    """Neither is that of another recipe, or of one that asks; the same is taken up again."""
    params = changed()
    history, recipe = prepared.history(0), Recipe.of(params, "multitask", 0)

    def place(history: History, recipe: Recipe = recipe, **choices: Any) -> Path:
        return Learning(recipe, params, history, Choices(**choices))._checkpoints

    rated = history._replace(targets_R=history.targets_R.flip(0))
    places = [
        place(history),
        place(rated),
        place(history, Recipe.of(params, "multitask", 1)),
        place(history, validation=prepared.eval_episodes(0, "validation")),
    ]
    assert len(set(places)) == 4
    assert place(prepared.history(0)) == places[0]


def test_everyone_is_everybody(prepared: Prepared) -> None:
    found = everyone(prepared, 0)
    assert len(found.history.users_R) == len(prepared.ratings)
    assert set(found.history.users_R.tolist()) == set(range(prepared.n_users))
    assert len(found.known_U) == prepared.n_users
    some = marks(prepared.users["key"].tolist()[:5])
    assert bool(torch.isin(some, found.known_U).all())
    assert not bool(torch.isin(marks(["a stranger"]), found.known_U).any())
