"""What all parts of the report share: names, signs, and which methods it speaks about."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from coldstart.evaluation.metrics import ALL_SHOTS, Metric
from coldstart.evaluation.summary import Summary


class Styles(NamedTuple):
    """Which methods a chart speaks about; all others are grey."""

    hero: str  # the candidate
    reference: str
    rivals: tuple[str, ...]  # the best of the others

    @classmethod
    def choose(cls, summary: Summary, table: pd.DataFrame) -> Styles:
        """The candidate, the reference and the two best of the others."""
        hero, reference = summary.candidate.method, summary.reference
        shown = at(table, summary.primary, ALL_SHOTS)
        quiet = {hero, reference, *summary.canary_methods}
        ranked = shown.sort_values("mean", ascending=summary.primary.sign < 0).index
        rest = [name for name in ranked if name not in quiet]
        return cls(hero, reference, tuple(rest[:2]))

    def of(self, method: str) -> str:
        """CSS class of a method."""
        if method == self.hero:
            return "hero"
        if method == self.reference:
            return "reference"
        return f"rival{self.rivals.index(method) + 1}" if method in self.rivals else "rest"


def at(table: pd.DataFrame, metric: Metric, k: int) -> pd.DataFrame:
    """The rows of one metric and K, by method."""
    return table[(table["metric"] == metric.name) & (table["k"] == k)].set_index("method")


def gains(rows: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Differences turned so that above 0 is better."""
    if metric.sign > 0:
        return rows
    return rows.assign(mean=-rows["mean"], low=-rows["high"], high=-rows["low"])


def signed(value: float, digits: int = 3) -> str:
    """With a sign that is as wide as a digit."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else "−") + text
