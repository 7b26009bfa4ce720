"""The gate with its effects: compare candidate and champion, keep the evidence, register.

The decision itself is pure (:mod:`coldstart.evaluation.gate`). Both sides are judged on users that
are cold for both: where champion and candidate were trained with different splits, those are the
users that neither has seen.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from coldstart import layout
from coldstart.data.prepared import Prepared
from coldstart.data.splits import split_users
from coldstart.errors import ArtefactError, ParamsError
from coldstart.evaluation.challenge import evaluate_bundle_on
from coldstart.evaluation.gate import Check, Contest, decide, per_user
from coldstart.evaluation.leaderboard import SEGMENTS, USERS, read_summary, read_table
from coldstart.evaluation.metrics import REFERENCE
from coldstart.methods import fitted_methods, load_method
from coldstart.models.bundle import MANIFEST
from coldstart.params import Params, PrepareParams, load_params, parse_section
from coldstart.registry import identity, packaging, promotion, runs, store
from coldstart.registry.cost import adapt_ms
from coldstart.registry.promotion import Version
from coldstart.served import Served

Decision = dict[str, Any]


def gate() -> Decision:
    """Decide on the candidate in this workspace; register it as challenger if it passes.

    Returns:
        The decision as JSON values, without the evidence, which is in the run and in the version.

    Raises:
        ArtefactError: the workspace has no evaluated candidate.
        GateError: candidate and champion cannot be compared.
    """
    params = load_params()
    prepared = Prepared.load()
    candidate = _candidate(params)
    client = store.client()
    raw = yaml.safe_load(layout.PARAMS.read_text())
    model = identity.experiment_name(raw)
    champion = promotion.champion(client, model)
    decision = {
        "model": model,
        "run_key": identity.run_key(),
        "candidate": candidate.as_json(),
        "champion": None if champion is None else _brief(champion),
        **_decide(candidate, champion, prepared, params),
    }
    experiment_id, run_id = runs.parent(client, model, decision["run_key"])
    decision["version"] = None
    if decision["promote"]:
        version = _register(client, experiment_id, run_id, candidate, prepared, params, decision)
        decision["version"] = version.version
    _keep(client, run_id, decision)
    return {key: value for key, value in decision.items() if key not in ("evidence", "checks")}


@dataclass(frozen=True)
class Candidate:
    """The bundle that ``evaluate`` proposes."""

    method: str
    fold: int
    seed: int
    folder: Path

    @property
    def sha256(self) -> str:
        """Digest of its tensors."""
        return _sha256(self.folder)

    def as_json(self) -> dict[str, Any]:
        """For the decision."""
        return {
            "method": self.method,
            "fold": self.fold,
            "seed": self.seed,
            "sha256": self.sha256,
        }


def _candidate(params: Params) -> Candidate:
    chosen = read_summary().candidate
    for method in fitted_methods(params, chosen.fold):
        if (method.name, method.seed) == (chosen.method, chosen.seed):
            return Candidate(method.name, method.fold, method.seed, method.folder)
    raise ArtefactError(
        f"{layout.EVALUATION}/summary.json: candidate {chosen} is not a method of params.yaml; "
        "run `dvc repro`"
    )


def _decide(
    candidate: Candidate, champion: Version | None, prepared: Prepared, params: Params
) -> Decision:
    users = read_table(USERS)
    rows = users[(users["role"] == "cold") & (users["fold"] == candidate.fold)]
    own = rows[(rows["method"] == candidate.method) & (rows["seed"] == candidate.seed)]
    if champion is None:
        names = (candidate.method, REFERENCE[params.goal])
        other = rows[rows["method"] == names[1]]
        cold = set(own["user"])
    else:
        names = (f"{candidate.method} (candidate)", f"{_method(champion)} v{champion.version}")
        if champion.tags.get("coldstart.sha256") == candidate.sha256:
            return _kept("improvement", names, "the candidate is the champion, byte for byte")
        try:
            other, cold = _champion_results(champion, candidate.fold, prepared, params)
        except (ArtefactError, ParamsError) as error:
            return _kept(
                "comparable", names, f"{names[1]} cannot be evaluated by this code: {error}"
            )
        cold &= set(own["user"])
    if len(cold) < params.evaluate.min_segment:
        return _kept(
            "comparable",
            names,
            f"only {len(cold)} users are cold for both {names[0]} and {names[1]}, and "
            f"{params.evaluate.min_segment} are needed; train with the champion's split",
        )
    sides = [per_user(names[0], own, params.goal), per_user(names[1], other, params.goal)]
    if names[0] == names[1]:
        sides.pop()
    together = pd.concat(sides, ignore_index=True)
    segments = read_table(SEGMENTS)
    contest = Contest(
        *names,
        champion=champion is not None,
        rows=together[together["user"].isin(cold)],
        segments=segments[segments["user"].isin(cold)],
    )
    decided = decide(
        contest,
        canaries_ok=read_summary().canaries_ok,
        validation_ok=_validated(prepared),
        adapt_ms=adapt_ms(load_method(candidate.folder), prepared, params),
        goal=params.goal,
        gate=params.gate,
        evaluate=params.evaluate,
        seed=params.seed,
    ).to_json()
    return _summarised(decided)


def _champion_results(
    champion: Version, fold: int, prepared: Prepared, params: Params
) -> tuple[pd.DataFrame, set[int]]:
    """The champion's per-user results on today's data, and the users that are cold for it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = packaging.download(champion, Path(scratch))
        served = Served.load(folder)
        raw = yaml.safe_load((folder / "params.yaml").read_text())
    results = evaluate_bundle_on(
        prepared, served.method, served.keys, served.encoder, served.facts.unit, params, fold
    )
    # only its split: other sections may be those of an older version, and do not matter here
    where = f"params.yaml of {champion.model} v{champion.version}: prepare"
    split, seed = parse_section(PrepareParams, raw["prepare"], where), raw["seed"]
    seen = prepared.ratings.groupby("user")["timestamp"].min()
    first_seen_U = seen.reindex(range(prepared.n_users), fill_value=-1).to_numpy(dtype="int64")
    keys = prepared.users["key"].astype("str").tolist()
    roles = split_users(keys, first_seen_U, served.facts.cut, split, seed)
    cold = roles[(roles["fold"] == served.facts.fold) & (roles["role"] == "cold")]
    return results, set(cold["user"].tolist())


def _kept(check_name: str, names: tuple[str, str], text: str) -> Decision:
    """The champion stays without a comparison: there is nothing to compare, or no way to."""
    check = Check(check_name, False, None, None, text)
    decided = {
        "promote": False,
        "candidate": names[0],
        "incumbent": names[1],
        "checks": [vars(check)],
        "evidence": {},
    }
    return _summarised(decided)


def _summarised(decided: dict[str, Any]) -> Decision:
    checks = decided["checks"]
    reasons = [check["text"] for check in checks if not check["passed"]]
    verdict = "promote" if decided["promote"] else "keep the champion"
    told = reasons or [check["text"] for check in checks]
    return {
        "promote": decided["promote"],
        "incumbent": decided["incumbent"],
        "reasons": reasons,
        "checks": checks,
        "evidence": decided["evidence"],
        "summary": f"{verdict}: {decided['candidate']} against {decided['incumbent']}: "
        + "; ".join(told),
    }


def _register(
    client: Any,
    experiment_id: str,
    run_id: str,
    candidate: Candidate,
    prepared: Prepared,
    params: Params,
    decision: Decision,
) -> Version:
    """The challenger's version: the one that an earlier try made, else a new one."""
    known = promotion.find_version(client, decision["model"], promotion.decision_key(decision))
    if known is not None:
        return promotion.register(client, decision, known.run_id, known.uri)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        packaging.pack(folder, candidate.folder, prepared, params, decision)
        uri = packaging.log_model(experiment_id, run_id, folder)
    return promotion.register(client, decision, run_id, uri)


def _keep(client: Any, run_id: str, decision: Decision) -> None:
    """Write the decision with its evidence into the parent run, whatever it is."""
    client.log_text(run_id, json.dumps(decision, indent=1, sort_keys=True), "gate/decision.json")
    metrics = {
        f"gate/{check['name']}": check["value"]
        for check in decision["checks"]
        if check["value"] is not None
    }
    tags = {
        "coldstart.gate": "promote" if decision["promote"] else "keep",
        "coldstart.gate.summary": decision["summary"][:5000],
        "coldstart.candidate": decision["candidate"]["method"],
    }
    runs.log(client, run_id, metrics=metrics, tags=tags)


def _validated(prepared: Prepared) -> bool:
    try:
        report = json.loads(layout.VALIDATION.read_text())
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{layout.VALIDATION}: {error}; run `dvc repro validate`") from error
    return bool(report["digest"] == prepared.summary["digest"])


def _brief(version: Version) -> dict[str, str]:
    return {
        "version": version.version,
        "method": _method(version),
        "sha256": version.tags.get("coldstart.sha256", ""),
    }


def _method(version: Version) -> str:
    return version.tags.get("coldstart.method", "unknown")


def _sha256(folder: Path) -> str:
    try:
        return str(json.loads((folder / MANIFEST).read_text())["sha256"])
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{folder}: not a readable bundle: {error}") from error
