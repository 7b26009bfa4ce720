"""The report with the identity and cost of its run; the artefact itself stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from coldstart.errors import ArtefactError
from coldstart.registry.cost import Cost

PLACEHOLDER = "<!-- coldstart:stamp -->"


def stamped(report: str, identity: Mapping[str, str], costs: Sequence[Cost]) -> str:
    """Put a section with identity and costs in the place of the report's placeholder.

    Raises:
        ArtefactError: the report has no placeholder, or more than one.
    """
    if report.count(PLACEHOLDER) != 1:
        raise ArtefactError(f"report.html: must hold {PLACEHOLDER} once; run `dvc repro report`")
    return report.replace(PLACEHOLDER, _section(identity, costs))


def _section(identity: Mapping[str, str], costs: Sequence[Cost]) -> str:
    facts = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{_value(value)}</td></tr>"
        for name, value in identity.items()
        if value
    )
    rows = "".join(
        f"<tr><th scope='row'>{escape(c.method)}</th><td>{_seconds(c.train_seconds)}</td>"
        f"<td>{c.adapt_us:,.0f}</td><td>{c.adapt_us_batched:,.1f}</td>"
        f"<td>{c.bundle_bytes / 1024:,.0f}</td></tr>"
        for c in costs
    )
    heads = ("method", "seconds to train", "µs alone", "µs in a batch", "bundle, KiB")
    head = "".join(f"<th scope='col'>{text}</th>" for text in heads)
    return (
        "<section id='run'><h2>This run</h2>"
        f"<div class='scroll'><table><tbody>{facts}</tbody></table></div>"
        f"<h3>Cost</h3><div class='scroll'><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div><p>Microseconds per user, to adapt and to rank the "
        "whole catalogue; measured on the machine that published this run.</p></section>"
    )


def _value(value: str) -> str:
    text = escape(value)
    return f"<a href='{text}'>{text}</a>" if value.startswith("http") else f"<code>{text}</code>"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"
