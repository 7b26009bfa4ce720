"""What ships is the candidate's recipe, learnt from everybody."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from coldstart import layout
from coldstart.baselines import BASELINES
from coldstart.combinations import possible
from coldstart.data.choices import Choices
from coldstart.data.everyone import everyone, marks
from coldstart.data.prepared import Prepared
from coldstart.evaluation.summary import Candidate, Summary
from coldstart.methods import bundle_folder, load_method
from coldstart.params import load_params
from coldstart.recipe import Learning, Recipe
from coldstart.served import USERS, Served
from coldstart.stages import ship

from .test_evaluate import evaluated, project  # noqa: F401 - fixtures


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project is shared by a module."""
    monkeypatch.setattr(layout, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setenv("COLDSTART_HOME", str(tmp_path / "home"))


def propose(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    summary = Summary.load(layout.EVALUATION)
    proposed = summary.model_copy(update={"candidate": Candidate(method=method, fold=0, seed=0)})
    monkeypatch.setattr(Summary, "load", lambda folder: proposed)


def digests() -> dict[str, str]:
    files = [path for path in sorted(layout.SHIPPED.rglob("*")) if path.is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.usefixtures("evaluated")
def test_the_same_inputs_give_the_same_bytes() -> None:
    ship.run()
    first = digests()
    ship.run()
    assert digests() == first


@pytest.mark.usefixtures("evaluated")
def test_every_rating_of_everybody_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Popularity shows it: it ranks items by how many ratings they have in all."""
    propose(monkeypatch, "popularity")
    ship.run()
    prepared = Prepared.load()
    served = Served.load(layout.SHIPPED)
    counts = prepared.ratings["item"].value_counts()
    ranked = [row["item"] for row in served.recommend([{}], k=60)[0]["recommendations"]]
    by_key = dict(zip(prepared.items["key"], prepared.items["item"], strict=True))
    found = [int(counts[by_key[key]]) for key in ranked]
    assert found == sorted(counts, reverse=True)
    known_U = load_file(layout.SHIPPED / USERS)["known_U"]
    assert known_U.equal(marks(prepared.users["key"].tolist()).sort()[0])


@pytest.mark.usefixtures("evaluated")
def test_what_validation_users_chose_is_that_of_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    propose(monkeypatch, "ridge")
    ship.run()
    recipe = Recipe.load(layout.SHIPPED)
    proof = load_method(bundle_folder("ridge", 0, 0))
    shipped = Served.load(layout.SHIPPED).method
    assert recipe.chosen["ridge"] == {"noise": proof.noise}  # type: ignore[attr-defined]
    assert shipped.noise == proof.noise  # type: ignore[attr-defined]
    assert not torch.equal(shipped.tensors()["item_N"], proof.tensors()["item_N"])


@pytest.mark.usefixtures("evaluated")
def test_every_bundle_of_a_run_can_be_learnt_again() -> None:
    """From the historical users of its fold and what lies beside it, byte for byte."""
    params, prepared = load_params(), Prepared.load()
    for name in (*BASELINES, "bayes_head", *possible(params)):
        recipe = Recipe.evaluated(params, name, 0, 0)
        learnt = Learning(recipe, params, prepared.history(0), Choices(made=recipe.chosen)).learn()
        saved = json.loads((bundle_folder(name, 0, 0) / "manifest.json").read_text())
        learnt.to_bundle().save(layout.SHIPPED)
        again = json.loads((layout.SHIPPED / "manifest.json").read_text())
        assert again == saved, name


def test_after_a_cut_the_newest_are_in_it(prepared: Prepared) -> None:
    """A temporal split hides the future from the proof, not from what ships."""
    times = prepared.ratings["timestamp"]
    cut = int(times.quantile(0.5))
    early = replace(prepared, summary=prepared.summary | {"cut": cut})
    assert len(early.history(0).items_R) < len(everyone(early, 0).history.items_R)
    assert len(everyone(early, 0).history.items_R) == len(prepared.ratings)


@pytest.mark.parametrize("name", ["vbpmf", "multitask"])
def test_an_item_without_a_rating_is_recommendable_and_less_certain(
    prepared: Prepared, name: str
) -> None:
    """All that is known of it is its attributes."""
    from tests.recipe.test_recipe import asked, changed

    items = prepared.ratings["item"]
    new = int(items.value_counts().index[0])  # the best known, as if nobody had rated it
    without = replace(prepared, ratings=prepared.ratings[items != new])
    method, _ = asked(without, changed(), name)
    state = method.adapt(prepared.eval_episodes(0, "cold").support.first(5))
    everything = torch.arange(1, method.n_items).expand(len(next(iter(state.values()))), -1)
    variance_BN = method.score(state, everything).variance
    assert variance_BN is not None
    rated = torch.arange(1, method.n_items) != new
    assert bool((variance_BN[:, new - 1] > variance_BN[:, rated].median(1).values).all())
    ranks_BN = method.rank_catalogue(state)
    assert bool(ranks_BN[:, new].isfinite().all())
