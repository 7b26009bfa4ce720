"""From an evaluated workspace to a champion that recommends."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from coldstart.registry import gating, packaging, promotion

MODEL = "coldstart-tiny"


def loosen(workspace: Path, **gate: Any) -> None:
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    params["gate"] |= gate
    (workspace / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


@pytest.fixture
def verdict(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool | None]:
    """What the pure decision says (None: what it would); its grounds are tested elsewhere."""
    said: dict[str, bool | None] = {"promote": True}
    decide = gating.decide

    def tell(*args: Any, **kwargs: Any) -> Any:
        made = decide(*args, **kwargs)
        return made if said["promote"] is None else replace(made, promote=said["promote"])

    monkeypatch.setattr(gating, "decide", tell)
    return said


@pytest.mark.usefixtures("verdict")
def test_a_candidate_that_passes_is_registered_promoted_and_recommends(
    workspace: Path, server: str, client: Any, tmp_path: Path
) -> None:
    """All through the server, as the DAG does it."""
    decision = gating.gate()
    assert decision["champion"] is None
    assert decision["incumbent"] == "popularity"
    assert promotion.aliases(client, MODEL) == {"challenger": decision["version"]}
    assert gating.gate()["version"] == decision["version"]  # a retry registers nothing new
    promotion.promote(client, json.loads(json.dumps(decision)))
    champion = promotion.require_champion(client, MODEL)
    assert champion.tags["coldstart.sha256"] == decision["candidate"]["sha256"]

    packaging.fetch_files(champion, tmp_path / "files")
    for name in ("dvc.lock", "params.yaml"):
        assert (tmp_path / "files" / name).read_bytes() == (workspace / name).read_bytes()
    kept = json.loads((tmp_path / "files" / "decision.json").read_text())
    assert kept["evidence"]["n_users"] > 0

    for path in packaging.download(champion, tmp_path).parents[1].rglob("*"):
        assert path.suffix not in {".pkl", ".pickle", ".pt", ".pth"}

    answer = ask_in_a_fresh_process(f"models:/{MODEL}@champion")
    assert answer["file"].endswith("code/coldstart/__init__.py")  # the version's own code
    assert len(answer["found"][0]["recommendations"]) == 3
    assert answer["found"][0]["unknown_items"] == ["nothing"]
    assert "user 0: rating 9.0 of item 'i1' is not on the scale" in answer["refused"]


def ask_in_a_fresh_process(uri: str) -> dict[str, Any]:
    code = f"""
import json, sys, mlflow, coldstart
from mlflow.exceptions import MlflowException
model = mlflow.pyfunc.load_model({uri!r})
user = {{"items": ["i1", "nothing"], "ratings": [5, 4], "user": {{"age": 30, "gender": "F"}}}}
found = model.predict(user, params={{"k": 3}})
try:
    model.predict({{"items": ["i1"], "ratings": [9.0]}})
except MlflowException as error:
    refused = str(error)
print(json.dumps({{"found": found, "refused": refused, "file": sys.modules["coldstart"].__file__}}))
"""
    code = code.replace("mlflow, coldstart\n", "mlflow\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_a_candidate_that_fails_is_not_registered_but_the_evidence_is_kept(
    workspace: Path, client: Any
) -> None:
    loosen(workspace, min_improvement=5.0)
    decision = gating.gate()
    assert decision["promote"] is False
    assert decision["version"] is None
    assert any("must lie above 5" in reason for reason in decision["reasons"])
    assert promotion.aliases(client, MODEL) == {}
    (run,) = client.search_runs([client.get_experiment_by_name(MODEL).experiment_id])
    assert run.data.tags["coldstart.gate"] == "keep"
    path = client.download_artifacts(run.info.run_id, "gate/decision.json")
    assert json.loads(Path(path).read_text())["evidence"]["metric"] == "list_recall@10"


def test_the_champion_itself_is_no_improvement(
    workspace: Path, client: Any, verdict: dict[str, bool | None]
) -> None:
    promotion.promote(client, gating.gate())
    verdict["promote"] = None
    decision = gating.gate()
    assert decision["promote"] is False
    assert decision["reasons"] == ["the candidate is the champion, byte for byte"]


@pytest.mark.usefixtures("verdict")
def test_only_users_that_are_cold_for_both_are_compared(workspace: Path, client: Any) -> None:
    """With folds by another seed, the champion was trained on most of today's cold users."""
    promotion.promote(client, gating.gate())
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    champion = promotion.require_champion(client, MODEL)
    prepared, loaded = gating.Prepared.load(), gating.load_params()
    _, same = gating._champion_results(champion, 0, prepared, loaded)
    assert same == set(prepared.role_users(0, "cold").tolist())

    params["seed"] = 1
    (workspace / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    from coldstart.stages import prepare

    prepare.run()
    other = gating.Prepared.load()
    _, cold = gating._champion_results(champion, 0, other, gating.load_params())
    assert cold == same  # roles depend on the champion's seed and the users' keys alone
    assert cold != set(other.role_users(0, "cold").tolist())


@pytest.mark.usefixtures("verdict")
def test_the_contest_is_among_the_users_that_are_cold_for_both(
    workspace: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The champion has seen some of the candidate's cold users, and has cold users of its own."""
    promotion.promote(client, gating.gate())
    monkeypatch.setattr(gating, "_sha256", lambda folder: "another model")
    champion_results, decide = gating._champion_results, gating.decide
    both: set[int] = set()

    def half(*args: Any) -> Any:
        results, cold = champion_results(*args)
        both.update(sorted(cold)[::2])
        return results, both | {-1, -2}

    met: list[Any] = []

    def watched(contest: Any, **facts: Any) -> Any:
        met.append(contest)
        return decide(contest, **facts)

    monkeypatch.setattr(gating, "_champion_results", half)
    monkeypatch.setattr(gating, "decide", watched)
    decision = gating.gate()
    (contest,) = met
    assert len(both) >= 5
    for name in (contest.candidate, contest.incumbent):
        assert set(contest.rows.loc[contest.rows["method"] == name, "user"]) == both
    assert set(contest.segments["user"]) == both
    (run,) = client.search_runs([client.get_experiment_by_name(MODEL).experiment_id])
    path = client.download_artifacts(run.info.run_id, "gate/decision.json")
    assert json.loads(Path(path).read_text())["evidence"]["n_users"] == len(both)
    assert decision["candidate"]["sha256"] == "another model"

    params = yaml.safe_load((workspace / "params.yaml").read_text())
    params["evaluate"]["min_segment"] = len(both) + 1
    (workspace / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    assert f"only {len(both)} users are cold for both" in gating.gate()["summary"]


@pytest.mark.usefixtures("verdict")
def test_a_champion_of_a_version_with_other_sections_is_compared(
    workspace: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    promotion.promote(client, gating.gate())
    champion = promotion.require_champion(client, MODEL)
    download = packaging.download

    def older(*args: Any) -> Path:
        path = download(*args) / "params.yaml"
        raw = yaml.safe_load(path.read_text())
        del raw["tune"], raw["tuned"]
        path.write_text(yaml.safe_dump(raw | {"former": {"size": 1}}))
        return path.parent

    prepared, params = gating.Prepared.load(), gating.load_params()
    expected = gating._champion_results(champion, 0, prepared, params)
    monkeypatch.setattr(packaging, "download", older)
    results, cold = gating._champion_results(champion, 0, prepared, params)
    assert cold == expected[1] != set()
    assert results.equals(expected[0])


@pytest.mark.usefixtures("verdict")
def test_too_few_common_cold_users_keep_the_champion(
    workspace: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    promotion.promote(client, gating.gate())
    monkeypatch.setattr(gating, "_sha256", lambda folder: "another model")
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    params["evaluate"]["min_segment"] = 1000
    (workspace / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    decision = gating.gate()
    assert decision["promote"] is False
    assert "users are cold for both" in decision["summary"]
