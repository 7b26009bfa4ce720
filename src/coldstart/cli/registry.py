"""Publish, decide, promote and roll back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from coldstart.cli.common import our_protocol


def publish() -> None:
    """Put the results that lie here into MLflow; the last line is JSON with the run's address."""
    our_protocol()
    from coldstart.registry import store
    from coldstart.registry.publish import publish

    with store.needed():
        print(json.dumps(publish(), sort_keys=True))


def gate() -> None:
    """Compare the candidate with the champion; the last line is the decision as JSON."""
    our_protocol()
    from coldstart.registry import store
    from coldstart.registry.gating import gate

    with store.needed():
        print(gate().travelling())


Dataset = Annotated[
    str | None, typer.Option("--model", help="Registered model; default: that of params.yaml.")
]


def promote(
    decision: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="File with the JSON of `gate`.")
    ],
) -> None:
    """Make the version of a decision the champion; the same decision again changes nothing."""
    from coldstart.registry import promotion, store
    from coldstart.registry.decision import Decision

    with store.needed():
        version = promotion.promote(store.client(), Decision.read(decision))
    print(json.dumps(version.as_json(), sort_keys=True))


def rollback(
    to: Annotated[
        str | None, typer.Option(help="A version; default: the previous champion.")
    ] = None,
    model: Dataset = None,
) -> None:
    """Make the previous champion, or a version of your choice, the champion."""
    from coldstart.registry import promotion, store

    with store.needed():
        version = promotion.rollback(store.client(), model or promotion.model_here(), to)
    print(json.dumps(version.as_json(), sort_keys=True))


def champion(
    model: Dataset = None,
    files: Annotated[
        Path | None,
        typer.Option(help="Folder for its dvc.lock, params.yaml, data.dvc, recipe and decision."),
    ] = None,
) -> None:
    """Show what is served; with --files, fetch what reproduces it."""
    from coldstart.registry import packaging, promotion, store

    name = model or promotion.model_here()
    with store.needed():
        version = promotion.require_champion(store.client(), name)
        if files is not None:
            packaging.fetch_files(version, files)
    print(json.dumps(version.as_json(), sort_keys=True))
