"""Meta-train one learner on one fold: its episodes, its validation users, its randomness."""

from __future__ import annotations

from typing import Any

import torch

from coldstart.algorithms.base import MetaLearner
from coldstart.data.episodes import EpisodeSampler
from coldstart.data.prepared import Prepared
from coldstart.params import Params
from coldstart.training.checkpoint import Checkpoints
from coldstart.training.interrupt import Interrupt
from coldstart.training.loop import Trained, Validation, Watch, meta_train


def train_fold(
    learner: MetaLearner[Any],
    params: Params,
    prepared: Prepared,
    fold: int,
    seed: int,
    checkpoints: Checkpoints,
    interrupt: Interrupt,
    watch: Watch | None = None,
) -> Trained:
    """Train on the fold's historical users, stopped early by its validation users.

    Raises:
        TrainingDiverged: see :func:`coldstart.training.loop.meta_train`.
    """
    loop = params.meta_train.loop
    generator = torch.Generator().manual_seed(seed)
    sampler = EpisodeSampler(
        prepared.history(fold),
        batch_size=loop.batch_size,
        query_size=loop.query_size,
        max_support=loop.max_support,
        group_U=learner.backbone.group_U,
        generator=generator,
    )
    episodes = prepared.eval_episodes(fold, "validation").to(params.device)
    return meta_train(
        learner,
        sampler,
        generator,
        Validation(episodes, params.prepare.shots),
        loop,
        what=f"{learner.kind} fold {fold} seed {seed}",
        checkpoints=checkpoints,
        interrupt=interrupt,
        device=params.device,
        watch=watch,
    )
