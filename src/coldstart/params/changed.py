"""What became of the keys of older versions of ``params.yaml``: said where one is met."""

from __future__ import annotations

GONE = {
    "gate.metric": "goal at the top level decides instead: list, rating or click",
    "gate.shot": "a champion is chosen and gated by the mean over all of prepare.shots; remove it",
    "algorithms.multitask.like": "data.like says what a like is; remove it",
}
"""Keys that are no longer read, and what is."""

NEW = {
    "goal": "add `goal: list`, or rating to choose as before by rmse",
    "gate.max_rating_loss": "add it, for instance 0.01",
}
"""Keys that an older file lacks, and what to write."""
