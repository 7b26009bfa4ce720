"""What each method costs: seconds to train, microseconds to adapt, bytes to keep.

Measured on this machine, so it goes to MLflow, into the stamped report and to whoever asks for it,
never into an artefact of the pipeline.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import pandas as pd
import torch

from coldstart import layout
from coldstart.data.episodes import Support
from coldstart.data.prepared import Prepared
from coldstart.evaluation.as_served import measure_adapt_ms
from coldstart.methods import fitted_methods, load_method
from coldstart.models.bundle import MANIFEST, TENSORS
from coldstart.models.recommender import Recommender
from coldstart.params import Params, load_params, read_yaml
from coldstart.registry import identity, store
from coldstart.registry.computed import read_lock, stage_seconds, training_seconds

_BATCH = 64
_REPEATS = 3


@dataclass(frozen=True)
class Cost:
    """Of one method; latencies are per user and include ranking the catalogue."""

    method: str
    train_seconds: float | None  # of all folds and seeds; None for baselines and if unknown
    adapt_us: float  # one user alone
    adapt_us_batched: float  # in a batch of up to 64 users
    bundle_bytes: int

    def metrics(self) -> dict[str, float]:
        """Metrics named after the method."""
        values = asdict(self)
        name = values.pop("method")
        return {f"{name}/{key}": float(v) for key, v in values.items() if v is not None}


def costs(prepared: Prepared, params: Params, train_seconds: Mapping[str, float]) -> list[Cost]:
    """Cost of every method's bundle in the first fold (and its first seed)."""
    found: list[Cost] = []
    for method in fitted_methods(params, params.prepare.folds[0]):
        if any(cost.method == method.name for cost in found):
            continue
        model = load_method(method.folder)
        support = prepared.eval_episodes(method.fold, "cold").support
        found.append(
            Cost(
                method=method.name,
                train_seconds=train_seconds.get(method.name),
                adapt_us=1000 * adapt_ms(model, support),
                adapt_us_batched=_batched_us(model, support),
                bundle_bytes=_size(method.folder),
            )
        )
    return found


def costs_here() -> list[Cost]:
    """Cost of what lies in this workspace, measured now; training as MLflow recorded it.

    Raises:
        ArtefactError: the workspace has no ``dvc.lock`` or no bundles.
    """
    lock, client = read_lock(), store.client()
    name = identity.experiment_name(read_yaml(layout.PARAMS))
    experiment = client.get_experiment_by_name(name)
    seconds: dict[str, float] = {}
    if experiment is not None:
        seconds = stage_seconds(client, experiment.experiment_id, identity.run_key(), lock)
    return costs(Prepared.load(), load_params(), training_seconds(seconds))


def rows(measured: Iterable[Cost], dataset: str, split: str, shot: int) -> pd.DataFrame:
    """Rows of the leaderboard's columns: a cost is a metric without interval and users.

    ``k`` is the number of ratings adapted to, where there are any.
    """
    found = []
    for cost in measured:
        values = asdict(cost)
        method = values.pop("method")
        for metric, value in values.items():
            if value is not None:
                k = shot if metric.startswith("adapt") else None
                place = {"dataset": dataset, "split": split, "method": method, "k": k}
                none = dict.fromkeys(("low", "high", "n_users"))
                found.append({**place, "metric": metric, "mean": float(value), **none})
    return pd.DataFrame(found, dtype=object)


def adapt_ms(method: Recommender, supports: Support) -> float:
    """Median milliseconds for one user, on one thread as a service would do it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return measure_adapt_ms(method, supports)
    finally:
        torch.set_num_threads(threads)


def _batched_us(method: Recommender, supports: Support) -> float:
    """Median microseconds per user in a batch, at ``prepare.shots[-1]`` ratings each."""
    support = supports.rows(slice(0, _BATCH))
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        with torch.no_grad():
            method.rank_catalogue(method.adapt(support))
        seconds.append(time.perf_counter() - start)
    return 1e6 * median(seconds) / support.n_users


def _size(folder: Path) -> int:
    return sum((folder / name).stat().st_size for name in (MANIFEST, TENSORS))
