"""One meta-gradient of an algorithm: tasks per second, and the memory that it takes.

Run by ``meta_step.py`` once per algorithm in a process of its own, since a process keeps what an
allocator once held. Batch and numbers are those of ``params.yaml``; items and users are random, in
the sizes of MovieLens-100k, so no data is needed. Memory is the peak of the resident set during the
first meta-gradient over what was resident before; Linux with glibc only.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from coldstart.algorithms import ALGORITHMS, check_section
from coldstart.data.episodes import Episodes, Support
from coldstart.models.backbone import Backbone
from coldstart.models.heads import HEADS
from coldstart.params import LoopParams, Params, load_params
from coldstart.training.allocator import keep_freed_memory

N_ITEMS, N_USERS, SIDE = 1683, 943, 19
FACTORS, EXPOSURE, ATTRIBUTES, TABLES = 13, 16, 24, 21
SECONDS, LEAST = 2.0, 5


def random_backbone() -> Backbone:
    generator = torch.Generator().manual_seed(0)
    features_CND = 0.3 * torch.randn(TABLES, N_ITEMS, FACTORS, generator=generator)
    features_CND[..., 0] = 1.0
    root_NDD = 0.1 * torch.randn(N_ITEMS, FACTORS, FACTORS, generator=generator)
    return Backbone(
        kind="vbpmf",
        features_CND=features_CND,
        offset_CN=3.5 + 0.3 * torch.randn(TABLES, N_ITEMS, generator=generator),
        count_CN=torch.randint(1, 200, (TABLES, N_ITEMS), generator=generator).float(),
        prior_FD=0.1 * torch.randn(ATTRIBUTES, FACTORS, generator=generator),
        group_U=torch.randint(1, TABLES, (N_USERS,), generator=generator),
        side_NG=torch.randn(N_ITEMS, SIDE, generator=generator),
        prior_DD=0.1 * torch.eye(FACTORS),
        noise=torch.tensor(0.8),
        choice_JD=0.1 * torch.randn(FACTORS + 1 + SIDE, FACTORS, generator=generator),
        choice_damping=torch.tensor(5.0),
        like=torch.tensor(3.5),
        covariance_NDD=root_NDD @ root_NDD.mT,
        exposed_CN=torch.rand(TABLES, N_ITEMS, generator=generator),
        exposure_CNE=0.1 * torch.randn(TABLES, N_ITEMS, EXPOSURE, generator=generator),
        exposure_CFE=0.1 * torch.randn(TABLES, ATTRIBUTES, EXPOSURE, generator=generator),
        exposure_noise=torch.tensor(0.4),
    )


def random_episodes(loop: LoopParams) -> Episodes:
    generator = torch.Generator().manual_seed(1)
    B, S, Q = loop.batch_size, loop.max_support, loop.query_size
    mask_BS = torch.arange(S) < torch.randint(0, S + 1, (B, 1), generator=generator)
    items_BT = torch.randint(1, N_ITEMS, (B, S + Q), generator=generator)
    targets_BT = torch.randint(1, 6, (B, S + Q), generator=generator).float()
    support = Support(
        items_BS=items_BT[:, :S] * mask_BS,
        targets_BS=targets_BT[:, :S] * mask_BS,
        mask_BS=mask_BS,
        users_BF=torch.rand(B, ATTRIBUTES, generator=generator),
        crossfit_B=torch.randint(1, TABLES, (B,), generator=generator),
    )
    mask_BQ = torch.ones(B, Q, dtype=torch.bool)
    return Episodes(support, items_BT[:, S:], targets_BT[:, S:], mask_BQ, torch.arange(B))


def resident_mb(name: str) -> float:
    """``VmRSS``, now, or ``VmHWM``, the peak, in MiB.

    Not ``ru_maxrss``: that one survives ``exec``, so a child would start at its parent's peak.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def measure(name: str, params: Params) -> dict[str, float]:
    section: Any = check_section(name, params.algorithms[name])
    learner = ALGORITHMS[name].create(random_backbone(), section, HEADS["rating"], params.seed)
    episodes = random_episodes(params.meta_train.loop)
    learner.meta_gradient(learner.theta, episodes.rows(slice(0, 2)))  # what is computed once
    ctypes.CDLL(None).malloc_trim(0)  # else what was freed is taken without being counted
    before = resident_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    learner.meta_gradient(learner.theta, episodes)
    peak = resident_mb("VmHWM") - before
    seconds: list[float] = []
    while sum(seconds) < SECONDS or len(seconds) < LEAST:
        start = time.perf_counter()
        learner.meta_gradient(learner.theta, episodes)
        seconds.append(time.perf_counter() - start)
    return {"tasks_per_second": episodes.n_users / statistics.median(seconds), "peak_mb": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=list(ALGORITHMS))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    print(json.dumps(measure(options.name, load_params())))


if __name__ == "__main__":
    main()
