"""What all parts of the report share: names, signs, and which methods it speaks about."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from coldstart.evaluation.significance import gain_sign

NAMES = {
    "rmse": "RMSE", "mae": "MAE", "log_loss": "Log loss", "ndcg@5": "NDCG@5", "auc": "AUC",
    "recall@10": "Recall@10", "ndcg@10": "NDCG@10", "mrr@10": "MRR@10", "novelty": "Novelty",
    "coverage": "Coverage", "nll": "NLL", "covered@80": "In 80% interval",
}  # fmt: skip


class Styles(NamedTuple):
    """Which methods a chart speaks about; all others are grey."""

    hero: str  # the candidate
    reference: str
    rivals: tuple[str, ...]  # the best of the others

    @classmethod
    def choose(cls, summary: dict[str, Any], table: pd.DataFrame) -> Styles:
        """The candidate, the reference and the two best of the others."""
        hero, reference = summary["candidate"]["method"], summary["reference"]
        shown = at(table, summary["gate"]["metric"], summary["gate"]["shot"])
        quiet = {hero, reference, *summary["canary_methods"]}
        errors = gain_sign(summary["gate"]["metric"]) < 0
        ranked = shown.sort_values("mean", ascending=errors).index
        rest = [name for name in ranked if name not in quiet]
        return cls(hero, reference, tuple(rest[:2]))

    def of(self, method: str) -> str:
        """CSS class of a method."""
        if method == self.hero:
            return "hero"
        if method == self.reference:
            return "reference"
        return f"rival{self.rivals.index(method) + 1}" if method in self.rivals else "rest"


def at(table: pd.DataFrame, metric: str, k: int) -> pd.DataFrame:
    """The rows of one metric and K, by method."""
    return table[(table["metric"] == metric) & (table["k"] == k)].set_index("method")


def gains(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Differences turned so that above 0 is better."""
    if gain_sign(metric) > 0:
        return rows
    return rows.assign(mean=-rows["mean"], low=-rows["high"], high=-rows["low"])


def signed(value: float, digits: int = 3) -> str:
    """With a sign that is as wide as a digit."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else "−") + text
