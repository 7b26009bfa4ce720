"""Bring data in, and accept it as the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def fetch(
    update: Annotated[
        bool, typer.Option("--update", help="Read the source again and pin what it has now.")
    ] = False,
) -> None:
    """Bring the dataset of params.yaml into data/; it must be what data.dvc pins."""
    from coldstart.intake.fetch import fetch
    from coldstart.params import load_params

    fetched = fetch(load_params().data, Path(), update=update)
    how = "fetched" if fetched.downloaded else "already here"
    typer.echo(f"{fetched.folder}: {how}, as data.dvc pins it")
    if fetched.changed:
        typer.echo(
            f"data.source has other bytes now: {'; '.join(fetched.changed)}. To take and pin them, "
            "run `coldstart fetch --update`"
        )
    if fetched.pinned:
        typer.echo("data.dvc has changed: commit it, so that others get the same data")


def accept() -> None:
    """Make the data that last passed validation the reference for the next delivery."""
    from coldstart.stages.validate import accept

    typer.echo(f"{accept()}: written; commit it")
