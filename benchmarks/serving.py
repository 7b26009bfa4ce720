"""Who is served in ``adapt.py`` and ``distil.py``, and how long that takes.

Runs in LensKit's environment too.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from coldstart.data.episodes import Support
from coldstart.data.prepared import Prepared
from coldstart.data.sources import read_source
from coldstart.data.tables import prepare_source
from coldstart.models.recommender import Recommender
from coldstart.models.server import alone
from coldstart.params import Params

SHOTS, TOP, FOLD = 5, 10, 0

Items = NDArray[np.int64]


class Server(NamedTuple):
    """Adapts to cold users and returns the ten best items of each, best first."""

    one: Callable[[int], Items]  # row of a cold user -> [10]
    batch: Callable[[], Items] | None = None  # all of them -> [B, 10]


class Latency(NamedTuple):
    """Microseconds per user."""

    alone: float
    batched: float | None


def prepared_ml100k(params: Params) -> Prepared:
    source = read_source(Path("data/ml-100k"), "ml-100k")
    return prepare_source(source, params.data, params.prepare, seed=params.seed, head=params.head)


def cold_support(prepared: Prepared) -> Support:
    return prepared.eval_episodes(FOLD, "cold").support.first(SHOTS)


def with_coldstart(model: Recommender, support: Support) -> Server:
    server = model.serve()
    users = [alone(support.rows(slice(row, row + 1))) for row in range(support.n_users)]
    hidden_BX = torch.nn.functional.pad(
        support.items_BS, (0, 1)
    )  # the support and the unknown item
    hidden = list(hidden_BX.numpy())

    def one(row: int) -> Items:
        score_N = server.rank(server.adapt(*users[row]))
        score_N[hidden[row]] = -np.inf
        return torch.from_numpy(score_N).topk(TOP).indices.numpy()

    def batch() -> Items:
        score_BN = model.rank_catalogue(model.adapt(support))
        return score_BN.scatter(1, hidden_BX, -torch.inf).topk(TOP).indices.numpy()

    return Server(one, batch)


def check(servers: dict[str, Server], support: Support) -> None:
    for name, server in servers.items():
        ranked = [server.one(0)] + ([server.batch()[0]] if server.batch else [])
        for items in ranked:
            assert len(set(items.tolist())) == TOP, name
            assert not set(items.tolist()) & {0, *support.items_BS[0].tolist()}, name


def measure(servers: dict[str, Server], n_users: int, rounds: int) -> dict[str, Latency]:
    """Medians over alternating rounds, alone over all users too, after a round to warm up."""
    alone: dict[str, list[float]] = {name: [] for name in servers}
    batched: dict[str, list[float]] = {name: [] for name in servers}
    for turn in range(rounds + 1):
        for name, server in servers.items():
            for row in range(n_users):
                start = time.perf_counter()
                server.one(row)
                if turn:
                    alone[name].append(time.perf_counter() - start)
            if server.batch is not None:
                start = time.perf_counter()
                server.batch()
                if turn:
                    batched[name].append((time.perf_counter() - start) / n_users)
    return {
        name: Latency(
            1e6 * statistics.median(alone[name]),
            1e6 * statistics.median(batched[name]) if batched[name] else None,
        )
        for name in servers
    }
