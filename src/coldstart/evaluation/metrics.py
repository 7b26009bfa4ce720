"""The catalogue of metrics: what each is called, which column it comes from, what is better.

Everything that tabulates, compares, plots or gates reads it here; how a metric is computed says
:mod:`coldstart.evaluation.formulas`. Loads no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from coldstart.errors import ParamsError
from coldstart.params import Goal

Floats = NDArray[np.float64]
Better = Literal["less", "more", "nominal", "neither"]
Kind = Literal["rating", "click", "query", "list", "interval"]
"""What is judged: a predicted rating, the probability of a like, the order of the query, the list
from the whole catalogue, or predicted variances."""
ALL_SHOTS = -1
"""In place of a K: the mean over all of them."""


@dataclass(frozen=True)
class Metric:
    """One metric of the tables."""

    name: str
    title: str
    kind: Kind
    better: Better
    meaning: str
    column: str = ""  # of the per-user results; the name unless it is another
    level: float | None = None  # nominal level of an interval
    compared: bool = False  # every method with the reference at every K, and in the terminal
    shown: bool = True  # a board of the report
    plot: str | None = None  # stem of its file under artifacts/plots
    per_user: bool = True  # coverage is a property of a list of users

    @property
    def per_user_column(self) -> str:
        """Column of the per-user results that it is the mean of."""
        return self.column or self.name

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where it is an error."""
        return -1 if self.better == "less" else 1

    @property
    def aim(self) -> str:
        """What is better, for people."""
        return {
            "less": "lower is better",
            "more": "higher is better",
            "nominal": f"{self.level or 0:.0%} is right",
            "neither": "describes, does not rank",
        }[self.better]

    def finish(self, means: Floats) -> Floats:
        """From means over users of the column to the metric: RMSE is a root of a mean."""
        return np.sqrt(means) if self.column.startswith("mse") else means


_METRICS = (
    Metric(
        "list_recall@10", "List recall@10", "list", "more",
        "likes outside the support among the ten, over min(10, their number)",
        compared=True, plot="list_recall_at_10",
    ),
    Metric(
        "list_ndcg@10", "List NDCG@10", "list", "more",
        "the same, discounted by rank", compared=True,
    ),
    Metric("list_mrr@10", "List MRR@10", "list", "more", "one over the rank of the first"),
    Metric(
        "rmse", "RMSE", "rating", "less", "root of the mean over users of their squared error",
        column="mse", compared=True, plot="error",
    ),
    Metric("mae", "MAE", "rating", "less", "absolute error in rating points", compared=True),
    Metric(
        "rmse_cold_items", "RMSE, cold items", "rating", "less",
        "the same over query items that no historical user has rated", column="mse_cold_items",
    ),
    Metric(
        "log_loss", "Log loss", "click", "less", "cross-entropy of likes in nats", compared=True,
        plot="error",
    ),
    Metric(
        "ndcg@5", "NDCG@5", "query", "more", "order of the query, graded", compared=True,
        plot="ndcg_at_5",
    ),
    Metric("auc", "AUC", "query", "more", "chance that a liked query item is above another"),
    Metric(
        "recall@10", "Recall@10 of the query", "list", "more",
        "share of the liked query items among the ten; rises with K by itself, since the support "
        "leaves the catalogue", compared=True, plot="recall_at_10",
    ),
    Metric(
        "list_recall_head@10", "List recall, head", "list", "more",
        "of likes among the items that have the first third of all likes",
    ),
    Metric(
        "list_recall_middle@10", "List recall, middle", "list", "more",
        "of likes among the items that have the second third",
    ),
    Metric(
        "list_recall_tail@10", "List recall, tail", "list", "more",
        "of likes among all other items",
    ),
    Metric(
        "list_recall_cold@10", "List recall, cold items", "list", "more",
        "of likes among items that no historical user has rated",
    ),
    Metric(
        "coverage", "Coverage", "list", "neither",
        "share of the catalogue in anybody's ten", per_user=False,
    ),
    Metric("novelty", "Novelty", "list", "neither", "self-information of the ten in bits"),
    Metric(
        "popular@10", "Popular share", "list", "neither",
        "share of the ten among the 50 most rated items",
    ),
    Metric("nll", "NLL", "interval", "less", "negative log-likelihood of ratings in nats"),
    Metric(
        "covered@50", "In 50% interval", "interval", "nominal", "share of ratings inside",
        level=0.5, shown=False,
    ),
    Metric(
        "covered@80", "In 80% interval", "interval", "nominal", "share of ratings inside",
        level=0.8,
    ),
    Metric(
        "covered_cold@80", "In 80% interval, cold items", "interval", "nominal",
        "share of ratings inside, of items that no historical user has rated", level=0.8,
    ),
    Metric(
        "covered@95", "In 95% interval", "interval", "nominal", "share of ratings inside",
        level=0.95, shown=False,
    ),
)  # fmt: skip

METRICS = {metric.name: metric for metric in _METRICS}
"""By name, in the order of tables."""

LEVELS = {m.name: m.level for m in _METRICS if m.name.startswith("covered@") and m.level}
"""Nominal levels of the predictive intervals whose coverage is measured."""

PRIMARY: dict[Goal, Metric] = {
    "list": METRICS["list_recall@10"],
    "rating": METRICS["rmse"],
    "click": METRICS["log_loss"],
}
"""What a candidate is chosen and gated by."""

REFERENCE: dict[Goal, str] = {"list": "popularity", "rating": "bias", "click": "bias"}
"""The baseline that everything is compared with, and that the first champion must beat."""

ERROR = {"rating": METRICS["rmse"], "click": METRICS["log_loss"]}
"""The error of what a head predicts, which guards a champion that is chosen by its list; a ranking
head predicts nothing but an order."""


def metric(name: str) -> Metric:
    """Look one up.

    Raises:
        ParamsError: there is none of this name.
    """
    if name not in METRICS:
        raise ParamsError(f"metric: {name!r} is unknown; there are {', '.join(METRICS)}")
    return METRICS[name]
