"""Stage ``validate``: data/ and expectations/ -> validation.json, or a failure that says why."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from coldstart import environment, layout
from coldstart.data.interests import check_columns
from coldstart.data.sources import folder_digest, read_source
from coldstart.data.validated import read_validated
from coldstart.errors import ValidationFailed
from coldstart.intake.expect import build_check
from coldstart.intake.pin import check_pin
from coldstart.intake.profile import Profile, accepted_path, profile_of, read_accepted
from coldstart.intake.quality import Outcome, failure_table, run_suites
from coldstart.params import load_params

_LOG = logging.getLogger("coldstart.validate")


def run() -> None:
    """Check the dataset of ``params.yaml``; write ``artifacts/validation.json`` if it passes.

    Raises:
        DataError: the files cannot be read, or differ from what ``data.dvc`` pins.
        ValidationFailed: an expectation failed; the text is a table of what and where.
    """
    params = load_params(layout.PARAMS)
    name = params.data.name
    source = read_source(layout.DATA / name, name)
    check_pin(layout.DATA, name)
    check_columns(source, params.data)
    profile = profile_of(source, params.data)
    accepted = read_accepted(layout.EXPECTATIONS, name)
    check = build_check(source, profile, accepted, params.data, params.validate_)
    docs = environment.home() / "data-docs" / name
    outcomes = run_suites(layout.EXPECTATIONS, check, docs)
    if not all(outcome.success for outcome in outcomes):
        raise ValidationFailed(failure_table(name, outcomes, docs))
    content = _validation(profile, accepted, outcomes)
    layout.VALIDATION.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    layout.VALIDATION.write_text(text + "\n", encoding="utf-8")
    skipped = sum(outcome.skipped is not None for outcome in outcomes)
    _LOG.info("%s: %s expectations passed, %s skipped", name, len(outcomes) - skipped, skipped)


def accept() -> Path:
    """Make the data that last passed the reference for volume, schema and distribution.

    Raises:
        ArtefactError: the data has not been validated as it is now.
    """
    name = load_params(layout.PARAMS).data.name
    profile = read_validated(layout.VALIDATION, folder_digest(layout.DATA / name))
    path = accepted_path(layout.EXPECTATIONS, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(profile, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def _validation(
    profile: Profile, accepted: Profile | None, outcomes: list[Outcome]
) -> dict[str, Any]:
    suites: dict[str, list[dict[str, Any]]] = {}
    for outcome in outcomes:
        suites.setdefault(outcome.suite, []).append(outcome.as_json())
    compared = accepted["digest"] if accepted else "nothing: no data of this name was accepted yet"
    return {
        "dataset": profile["dataset"],
        "digest": profile["digest"],
        "profile": profile,
        "compared_with": compared,
        "suites": suites,
    }
