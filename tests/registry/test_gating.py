"""From an evaluated workspace to a champion that recommends, and to the next one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from coldstart import layout
from coldstart.data.choices import Choices
from coldstart.data.episodes import History
from coldstart.data.everyone import marks
from coldstart.data.prepared import Prepared
from coldstart.evaluation.gate import Check
from coldstart.evaluation.leaderboard import USERS, read_table
from coldstart.evaluation.summary import Summary
from coldstart.params import Params, load_params
from coldstart.recipe import Learning, Recipe
from coldstart.registry import champion as champions
from coldstart.registry import gating, hearing, packaging, promotion
from coldstart.registry.decision import Decision
from coldstart.registry.hearing import Hearing
from coldstart.served import Served
from coldstart.stages import prepare, pretrain

MODEL = "coldstart-tiny"


def change(workspace: Path, **sections: Any) -> None:
    """Overlay sections of ``params.yaml``, or replace what is not a section."""
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    for name, value in sections.items():
        params[name] = params[name] | value if isinstance(value, dict) else value
    (workspace / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def checks(decision: Decision) -> dict[str, Check]:
    return {check.name: check for check in decision.checks}


def promoted(client: Any) -> Decision:
    decision = gating.gate()
    promotion.promote(client, decision)
    return decision


@pytest.mark.usefixtures("lenient")
def test_a_candidate_that_passes_is_registered_promoted_and_recommends(
    workspace: Path, server: str, client: Any, tmp_path: Path
) -> None:
    """All through the server, as the DAG does it."""
    decision = gating.gate()
    assert (decision.kind, decision.champion, decision.against) == ("first", None, "popularity")
    assert promotion.aliases(client, MODEL) == {"challenger": decision.version}
    assert gating.gate().version == decision.version  # a retry registers nothing new
    (tmp_path / "decision.json").write_text(decision.travelling())
    promotion.promote(client, Decision.read(tmp_path / "decision.json"))
    champion = promotion.require_champion(client, MODEL)
    chosen, tags = Summary.load(layout.EVALUATION).candidate, champion.tags
    assert tags["coldstart.sha256"] == sha256(workspace / "artifacts/shipped/bundle")
    assert tags["coldstart.proof_sha256"] == sha256(gating.bundle_folder(*dict(chosen).values()))
    assert tags["coldstart.proof_sha256"] != tags["coldstart.sha256"]
    assert tags["coldstart.recipe"] == Recipe.load(layout.SHIPPED).digest

    packaging.fetch_files(champion, tmp_path / "files")
    for name in ("dvc.lock", "params.yaml", "data.dvc"):
        assert (tmp_path / "files" / name).read_bytes() == (workspace / name).read_bytes()
    kept = json.loads((tmp_path / "files" / "decision.json").read_text())
    assert kept["evidence"]["n_users"] > 0
    assert Recipe.load(tmp_path / "files") == Recipe.load(layout.SHIPPED)

    for path in packaging.download(champion, tmp_path).parents[1].rglob("*"):
        assert path.suffix not in {".pkl", ".pickle", ".pt", ".pth"}

    answer = ask_in_a_fresh_process(f"models:/{MODEL}@champion")
    assert answer["file"].endswith("code/coldstart/__init__.py")  # the version's own code
    assert len(answer["found"][0]["recommendations"]) == 3
    assert answer["found"][0]["unknown_items"] == ["nothing"]
    assert "user 0: rating 9.0 of item 'i1' is not on the scale" in answer["refused"]


def sha256(folder: Path) -> str:
    return str(json.loads((folder / "manifest.json").read_text())["sha256"])


def ask_in_a_fresh_process(uri: str) -> dict[str, Any]:
    code = f"""
import json, sys, mlflow, coldstart
from mlflow.exceptions import MlflowException
model = mlflow.pyfunc.load_model({uri!r})
user = {{"items": ["i1", "nothing"], "ratings": [5, 4], "user": {{"age": 30, "gender": "F"}}}}
found = model.predict([user], params={{"k": 3}})
try:
    model.predict([{{"items": ["i1"], "ratings": [9.0]}}])
except MlflowException as error:
    refused = str(error)
print(json.dumps({{"found": found, "refused": refused, "file": sys.modules["coldstart"].__file__}}))
"""
    code = code.replace("mlflow, coldstart\n", "mlflow\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_the_code_of_a_version_is_whole_and_no_more(tmp_path: Path, workspace: Path) -> None:
    """It serves where nothing else of the program is; and stages, CLI and DAGs do not travel."""
    folder = packaging.code(tmp_path / "code")
    rooms = {path.name for path in folder.iterdir()}
    assert not rooms & {"stages", "cli", "stack", "intake", "reporting", "tuning", "evaluation"}
    code = f"""
import sys
sys.path[:] = [p for p in sys.path if "coldstart" not in p and p not in ("", {str(Path.cwd())!r})]
sys.path.insert(0, {str(folder.parent)!r})
from pathlib import Path
from coldstart.registry.served_model import ServedModel
from coldstart.served import Served
served = Served.load(Path({str(workspace / "artifacts/shipped")!r}))
found = served.recommend([{{"items": ["i1"], "ratings": [5]}}], k=2)
assert len(found[0]["recommendations"]) == 2
strays = [m for n, m in sys.modules.items() if n.split(".")[0] == "coldstart"]
assert all(m.__file__.startswith({str(folder)!r}) for m in strays), strays
"""
    isolated = [sys.executable, "-I", "-c", code]
    done = subprocess.run(isolated, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_candidate_that_fails_is_not_registered_but_the_evidence_is_kept(
    workspace: Path, client: Any
) -> None:
    change(workspace, gate={"min_improvement": 5.0})
    decision = gating.gate()
    assert decision.promote is False
    assert decision.version is None
    assert any("must lie above 5" in reason for reason in decision.reasons)
    assert promotion.aliases(client, MODEL) == {}
    (run,) = client.search_runs([client.get_experiment_by_name(MODEL).experiment_id])
    assert run.data.tags["coldstart.gate"] == "keep"
    path = client.download_artifacts(run.info.run_id, "gate/decision.json")
    evidence = json.loads(Path(path).read_text())["evidence"]
    assert evidence["metric"] == "list_recall@10"
    assert 0 <= evidence["turned"][0] < 0.5


@pytest.mark.usefixtures("workspace")
def test_the_champion_itself_is_no_news(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(gating, "all", lambda checks: True, raising=False)
        promoted(client)
    decision = gating.gate()
    assert decision.promote is False
    (reason,) = decision.reasons
    assert reason == "the candidate is the champion, byte for byte: nothing new was learnt"


@pytest.mark.usefixtures("lenient")
def test_the_same_recipe_on_other_data_is_a_refresh(workspace: Path, client: Any) -> None:
    """Twenty users fewer at first; all of them are new to the champion then."""
    first = promoted(client)
    version = promotion.require_champion(client, MODEL)
    champion = champions.load(version)
    assert isinstance(champion, champions.Champion)
    assert champion.recipe.digest == first.candidate.recipe
    assert champion.turned is not None
    assert champion.turned.variance > 0
    prepared, params = Prepared.load(), load_params()
    keys = prepared.users["key"].tolist()
    assert champion.known_U.equal(marks(keys).sort()[0])

    candidate = first.candidate.model_copy(update={"sha256": "another"})
    heard = Hearing(candidate, Served.load(layout.SHIPPED), prepared, params)
    ruling = heard.rule(champion, validation_ok=True)
    assert (ruling.kind, ruling.against) == ("refresh", f"{candidate.method} v1")
    found = {check.name: check for check in ruling.checks}
    assert "improvement" not in found
    assert found["as served"].text.startswith("not applicable: 0 users are new to both")
    assert found["new ratings agree with what is known"].text.startswith("not applicable: ratings")

    few = champions.Champion(
        version, champion.served, champion.recipe, marks(keys[:60]), champion.turned
    )
    n_new = int((prepared.role_users(0, "cold") >= 60).sum())
    least = params.evaluate.model_copy(update={"min_segment": n_new})  # just as many as needed
    params = params.model_copy(update={"evaluate": least})
    heard = Hearing(candidate, Served.load(layout.SHIPPED), prepared, params)
    found = {check.name: check for check in heard.rule(few, validation_ok=True).checks}
    assert f"for {n_new} users" in found["as served"].text
    assert (
        "of 60 users who are new to the champion"
        in found["new ratings agree with what is known"].text
    )


@pytest.mark.usefixtures("lenient")
def test_another_recipe_of_this_run_is_compared_by_the_results_of_the_run(
    workspace: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = promoted(client)
    champion = champions.load(promotion.require_champion(client, MODEL))
    assert isinstance(champion, champions.Champion)
    ridge = Recipe.of(load_params(), "ridge", 0)
    monkeypatch.setattr(hearing, "Learning", None)  # nothing is learnt
    heard = Hearing(first.candidate, champion.served, Prepared.load(), load_params())
    found = heard._results_of(ridge)
    users = read_table(USERS)
    own = users[(users["method"] == "ridge") & (users["role"] == "cold")]
    assert found.equals(own)


@pytest.mark.usefixtures("lenient")
def test_a_champion_of_another_split_is_learnt_on_this_one(
    workspace: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has no such recipe any more, and other folds: it is compared all the same."""
    promoted(client)
    champion = champions.load(promotion.require_champion(client, MODEL))
    assert isinstance(champion, champions.Champion)
    bias = {"bias": {"item_damping": 7.0, "user_damping": 5.0, "attribute_penalty": 60.0}}
    old = Recipe.of(load_params(), "bias", 0)
    change(workspace, seed=1, baselines=bias)
    prepare.run()
    pretrain.run()
    now = load_params()
    assert Recipe.of(now, "bias", 0).digest != old.digest
    chosen = gating.Candidate(
        method="ridge", fold=0, seed=0, recipe="r", proof_sha256="p", sha256="s"
    )
    prepared, learnt_from = Prepared.load(), []

    class Watched(Learning):
        def __init__(self, recipe: Recipe, here: Params, history: History, choices: Choices):
            learnt_from.append((history, choices))
            super().__init__(recipe, here, history, choices)

    monkeypatch.setattr(hearing, "Learning", Watched)
    heard = Hearing(chosen, champion.served, prepared, now)
    found = heard._results_of(old)
    ((history, choices),) = learnt_from
    historical, validating = (prepared.role_users(0, r) for r in ("historical", "validation"))
    assert set(history.users_R.tolist()) == set(historical.tolist())
    assert choices.validation is not None
    assert set(choices.validation.users_B.tolist()) <= set(validating.tolist())
    assert set(found["user"]) == set(heard._cold.episodes.users_B.tolist())
    assert found["mse"].notna().all()


@pytest.mark.usefixtures("lenient")
def test_a_champion_without_its_recipe_is_replaced_by_what_beats_the_reference(
    workspace: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoted(client)
    monkeypatch.setattr(champions, "RECIPE", "nothing.json")
    champion = champions.load(promotion.require_champion(client, MODEL))
    assert isinstance(champion, str)
    candidate = gating._candidate()
    heard = Hearing(candidate, Served.load(layout.SHIPPED), Prepared.load(), load_params())
    ruling = heard.rule(champion, validation_ok=True)
    assert (ruling.kind, ruling.against) == ("first", "popularity")
    assert ruling.checks[0].name == "comparable"
    assert "v1 was registered without its recipe" in ruling.checks[0].text
    assert "`coldstart rollback` returns to it" in ruling.checks[0].text


def test_what_ships_is_the_candidates_recipe(workspace: Path, client: Any) -> None:
    recipe = Recipe.load(layout.SHIPPED)
    recipe.model_copy(update={"sections": {}}).save(layout.SHIPPED)
    with pytest.raises(gating.ArtefactError, match="another recipe than the candidate's"):
        gating.gate()
