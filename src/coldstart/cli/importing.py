"""Turn files as people have them into a dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from coldstart.intake.convert import Imported


def _column(help_: str) -> Any:
    panel = "Columns: name, number from 1, or none (guessed if not given)"
    return typer.Option(metavar="COLUMN", help=help_, rich_help_panel=panel)


def _written(help_: str, *names: str) -> Any:
    panel = "How files are written (guessed if not given)"
    return typer.Option(*names, help=help_, rich_help_panel=panel)


FILES = "CSV, TSV, JSON lines or Parquet, also compressed; interactions, and any items and users."
TIMES = "seconds, milliseconds, microseconds, nanoseconds, or a format as '%d %b %Y'."


def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help=FILES)],
    name: Annotated[
        str | None, typer.Option(help="Default: from the first file or its folder.")
    ] = None,
    items: Annotated[Path | None, typer.Option(help="A file that describes items.")] = None,
    users: Annotated[Path | None, typer.Option(help="A file that describes users.")] = None,
    user: Annotated[str | None, _column("Who.")] = None,
    item: Annotated[str | None, _column("What.")] = None,
    rating: Annotated[str | None, _column("How good.")] = None,
    timestamp: Annotated[str | None, _column("When.")] = None,
    event: Annotated[str | None, _column("Kind: view, cart, purchase.")] = None,
    count: Annotated[str | None, _column("How often, or how strongly.")] = None,
    title: Annotated[str | None, _column("Title of an item.")] = None,
    year: Annotated[str | None, _column("Year of an item, or a date.")] = None,
    genres: Annotated[str | None, _column("Genres of an item.")] = None,
    items_key: Annotated[str | None, _column("Key in the file of items.")] = None,
    users_key: Annotated[str | None, _column("Key in the file of users.")] = None,
    separator: Annotated[str | None, _written("tab, comma, '::' or any other text.")] = None,
    encoding: Annotated[str | None, _written("For instance cp1252.")] = None,
    decimal: Annotated[str | None, _written("Decimal sign: , or .")] = None,
    time_form: Annotated[str | None, _written(TIMES)] = None,
    header: Annotated[bool | None, _written("First row.", "--header/--no-header")] = None,
    quotes: Annotated[bool | None, _written("Around values.", "--quotes/--no-quotes")] = None,
    max_aside: Annotated[
        float, typer.Option(min=0, max=1, help="Largest share of rows that may be unusable.")
    ] = 0.1,
    replace: Annotated[bool, typer.Option("--replace", help="What has the same name.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Set params.yaml accordingly.")] = False,
) -> None:
    """Turn your files into a dataset: guess columns, say so, pin the result in data.dvc."""
    from coldstart.intake.columns import NAMES
    from coldstart.intake.convert import import_files
    from coldstart.intake.pinning import pin
    from coldstart.intake.wishes import Reading, Wishes

    given = locals()
    wishes = Wishes(
        columns={role: given[role] for role in NAMES if given[role] is not None},
        items_key=items_key,
        users_key=users_key,
        reading=Reading(separator, encoding, header, quotes),
        decimal=decimal,
        time=time_form,
        max_aside=max_aside,
        replace=replace,
    )
    imported = import_files(files, items=items, users=users, name=name, wishes=wishes)
    pinned = pin(Path(), imported.folder.name)
    _tell(imported, pinned=pinned)
    _write_or_show(imported.params, write=write)


def _tell(imported: Imported, *, pinned: bool) -> None:
    for line in [*imported.guesses, *imported.notes]:
        typer.echo(line)
    if imported.notes:
        typer.echo(f"{imported.report}: each of these rows")
    typer.echo(
        f"{imported.folder}: {imported.rows:,} interactions of {imported.users:,} users with "
        f"{imported.items:,} items" + ("" if imported.new else ", as it was")
    )
    if pinned:
        typer.echo("data.dvc has changed: commit it, so that others get the same data")


def _write_or_show(params: dict[str, Any], *, write: bool) -> None:
    from coldstart.cli.common import write_params

    if write:
        write_params(params)
        return
    typer.echo("params.yaml should say (run this again with --write to have it so):")
    for key, value in params.items():
        typer.echo(f"  {key}: {json.dumps(value)}")
