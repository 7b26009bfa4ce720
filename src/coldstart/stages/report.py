"""Stage ``report``: results -> ``report.html`` and ``leaderboard.md``."""

from __future__ import annotations

import json

from coldstart import layout
from coldstart.errors import ArtefactError
from coldstart.evaluation import leaderboard as board
from coldstart.evaluation.summary import Summary
from coldstart.params import load_params
from coldstart.reporting.page import Found, render_markdown, render_report


def run() -> None:
    """Write both pages; the same results give the same bytes.

    Raises:
        ArtefactError: nothing was evaluated or validated here.
    """
    params = load_params(layout.PARAMS)
    found = Found(
        Summary.load(layout.EVALUATION),
        board.read_table(board.TABLE),
        board.read_table(board.COMPARISONS),
        board.read_table(board.SEGMENT_TABLE),
    )
    try:
        validation = json.loads(layout.VALIDATION.read_bytes())
    except FileNotFoundError:
        raise ArtefactError(f"{layout.VALIDATION}: not found; run `coldstart validate`") from None
    shown = {
        name: section.model_dump(mode="json")
        for name, section in (
            ("data", params.data),
            ("prepare", params.prepare),
            ("evaluate", params.evaluate),
        )
    }
    layout.REPORT.write_text(render_report(found, validation, shown), encoding="utf-8")
    layout.LEADERBOARD.write_text(render_markdown(found), encoding="utf-8")
