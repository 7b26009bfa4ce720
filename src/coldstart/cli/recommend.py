"""Ten recommendations of the champion, for somebody who has just arrived."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coldstart.cli.common import cap_threads

if TYPE_CHECKING:
    from coldstart.examples import Newcomer
    from coldstart.served import Served

Titles = Annotated[
    list[str] | None, typer.Option(help="A title, a part of one, or an item's key; repeat it.")
]


def recommend(
    love: Titles = None,
    dislike: Titles = None,
    k: Annotated[int, typer.Option("-k", help="How many recommendations.")] = 10,
    model: Annotated[
        str | None, typer.Option(help="Registered model; default: that of params.yaml.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for machines.")] = False,
) -> None:
    """Print the champion's list for a newcomer; without titles, for three unlike examples."""
    cap_threads()
    from coldstart.examples import Newcomer, find_item, unlike_newcomers
    from coldstart.registry import packaging, promotion, store
    from coldstart.served import Served

    with store.needed(), tempfile.TemporaryDirectory() as scratch:
        version = promotion.require_champion(store.client(), model or promotion.model_here())
        served = Served.load(packaging.download(version, Path(scratch)))
    if love or dislike:
        keys = [tuple(find_item(served, text) for text in said or []) for said in (love, dislike)]
        newcomers = [Newcomer(*keys)]
    else:
        newcomers = unlike_newcomers(served)
    found = served.recommend([newcomer.request(served) for newcomer in newcomers], k)
    if as_json:
        typer.echo(json.dumps([_as_json(n, f) for n, f in zip(newcomers, found, strict=True)]))
        return
    for newcomer, best in zip(newcomers, found, strict=True):
        typer.echo(_as_text(served, newcomer, best["recommendations"]))


def _as_json(newcomer: Newcomer, found: dict[str, Any]) -> dict[str, Any]:
    return {**newcomer._asdict(), "recommendations": found["recommendations"]}


def _as_text(served: Served, newcomer: Newcomer, best: list[dict[str, Any]]) -> str:
    said = [
        f"{verb} {', '.join(served.titles[key] for key in keys)}"
        for verb, keys in (("loves", newcomer.loves), ("dislikes", newcomer.dislikes))
        if keys
    ]
    lines = [f"Somebody who {' and '.join(said) or 'has said nothing yet'}:"]
    lines += [f"{n:>4}. {b['title']}  ({b['score']:.1f})" for n, b in enumerate(best, start=1)]
    return "\n".join([*lines, ""])
