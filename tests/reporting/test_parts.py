"""Parts of the report where the numbers are few."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd

from coldstart.evaluation.metrics import METRICS
from coldstart.reporting.parts import board


def test_a_metric_that_nobody_has_at_one_k_leaves_its_cell_open() -> None:
    """After three ratings nobody has anything left to like."""
    primary = METRICS["list_recall@10"]
    rows = [
        (m, k, primary.name, v, v - 0.1, v + 0.1)
        for m, v in (("a", 0.4), ("b", 0.2))
        for k in (0, 1)
    ]
    table = pd.DataFrame(rows, columns=["method", "k", "metric", "mean", "low", "high"])
    summary: Any = SimpleNamespace(
        primary=primary, canary_methods=[], methods=["a", "b"], shots=[0, 1, 3]
    )
    styles: Any = SimpleNamespace(of=lambda _: "")
    (found,) = board(summary, table, styles)
    texts = [[cell["text"] for cell in method["cells"]] for method in found["methods"]]
    assert texts == [["0.400", "0.400", "–"], ["0.200", "0.200", "–"]]
