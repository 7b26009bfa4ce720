"""The gate with its effects: gather the evidence, decide, keep it, register.

The checks themselves are pure (:mod:`coldstart.evaluation.gate`). Recipe is compared with recipe:
both learnt from the same historical users, on the same cold users of the newest data. So it does
not matter with which folds or which split the champion was once trained.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import yaml

from coldstart import layout
from coldstart.data.prepared import Prepared
from coldstart.errors import ArtefactError
from coldstart.evaluation.gate import Check
from coldstart.evaluation.summary import Summary
from coldstart.methods import bundle_folder
from coldstart.models.bundle import MANIFEST
from coldstart.params import load_params
from coldstart.recipe import Recipe
from coldstart.registry import champion as champions
from coldstart.registry import identity, packaging, promotion, runs, store
from coldstart.registry.decision import Candidate, Decision
from coldstart.registry.hearing import Hearing, Ruling
from coldstart.registry.promotion import Version
from coldstart.served import BUNDLE, Served


def gate() -> Decision:
    """Decide on the candidate in this workspace; register it as challenger if it passes.

    Raises:
        ArtefactError: the workspace has no evaluated and shipped candidate.
        GateError: the results of candidate and champion are of different users.
    """
    client, raw = store.client(), yaml.safe_load(layout.PARAMS.read_text())
    model = identity.experiment_name(raw)
    served = promotion.champion(client, model)
    candidate = _candidate()
    ruling = _rule(candidate, served)
    decision = Decision(
        model=model,
        run_key=identity.run_key(),
        kind=ruling.kind,
        candidate=candidate,
        champion=champions.incumbent(served),
        against=ruling.against,
        promote=all(check.passed for check in ruling.checks),
        checks=ruling.checks,
        evidence=ruling.evidence,
    )
    experiment_id, run_id = runs.parent(client, model, decision.run_key)
    if decision.promote:
        version = _register(client, experiment_id, run_id, decision)
        decision = decision.model_copy(update={"version": version.version})
    _keep(client, run_id, decision)
    return decision


def _candidate() -> Candidate:
    """What ``evaluate`` proposes and ``ship`` made of it.

    Raises:
        ArtefactError: one of them is missing, or they are of different runs.
    """
    params, chosen = load_params(), Summary.load(layout.EVALUATION).candidate
    recipe = Recipe.load(layout.SHIPPED)
    written = Recipe.of(params, chosen.method, chosen.seed)
    if recipe.digest != written.digest:
        raise ArtefactError(
            f"{layout.SHIPPED}: is made by another recipe than the candidate's ({chosen.method}); "
            "run `dvc repro`"
        )
    return Candidate(
        method=chosen.method,
        fold=chosen.fold,
        seed=chosen.seed,
        recipe=recipe.digest,
        proof_sha256=_sha256(bundle_folder(chosen.method, chosen.fold, chosen.seed)),
        sha256=_sha256(layout.SHIPPED / BUNDLE),
    )


def _rule(candidate: Candidate, served: Version | None) -> Ruling:
    """Hear the candidate against whatever there is to compare it with."""
    params, prepared = load_params(), Prepared.load()
    if served is not None and served.tags.get(promotion.SHA256) == candidate.sha256:
        text = "the candidate is the champion, byte for byte: nothing new was learnt"
        name = f"{candidate.method} v{served.version}"
        return Ruling("refresh", name, (Check("news", False, None, None, text),), {})
    champion = None if served is None else champions.load(served)
    hearing = Hearing(candidate, Served.load(layout.SHIPPED), prepared, params)
    return hearing.rule(champion, validation_ok=_validated(prepared))


def _register(client: Any, experiment_id: str, run_id: str, decision: Decision) -> Version:
    """The challenger's version: the one that an earlier try made, else a new one."""
    known = promotion.find_version(client, decision.model, decision.key)
    if known is not None:
        return promotion.register(client, decision, known.run_id, known.uri)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        packaging.pack(folder, decision)
        uri = packaging.log_model(experiment_id, run_id, folder)
    return promotion.register(client, decision, run_id, uri)


def _keep(client: Any, run_id: str, decision: Decision) -> None:
    """Write the decision with its evidence into the parent run, whatever it is."""
    client.log_text(run_id, decision.model_dump_json(indent=1), "gate/decision.json")
    metrics = {
        f"gate/{check.name.replace(' ', '_')}": check.value
        for check in decision.checks
        if check.value is not None
    }
    tags = {
        "coldstart.gate": "promote" if decision.promote else "keep",
        "coldstart.gate.kind": decision.kind,
        "coldstart.gate.summary": decision.summary[:5000],
        "coldstart.candidate": decision.candidate.method,
    }
    runs.log(client, run_id, metrics=metrics, tags=tags)


def _validated(prepared: Prepared) -> bool:
    try:
        report = json.loads(layout.VALIDATION.read_text())
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{layout.VALIDATION}: {error}; run `dvc repro validate`") from error
    return bool(report["digest"] == prepared.summary["digest"])


def _sha256(folder: Path) -> str:
    try:
        return str(json.loads((folder / MANIFEST).read_text())["sha256"])
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{folder}: not a readable bundle: {error}") from error
