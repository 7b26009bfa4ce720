"""Meta-train one learner: its episodes, its validation users, its randomness."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from coldstart.algorithms._base import MetaLearner
from coldstart.data.choices import Chooser, choose
from coldstart.data.episodes import Episodes, EpisodeSampler, History
from coldstart.data.negatives import Negatives
from coldstart.params import Params
from coldstart.training.checkpoint import Checkpoints
from coldstart.training.interrupt import Interrupt
from coldstart.training.loop import Sampler, Trained, Validation, Watch, meta_train


@dataclass(frozen=True)
class WithNegatives:
    """Training episodes with sampled negatives in their query."""

    sampler: Sampler
    negatives: Negatives

    def sample(self) -> Episodes:
        """A batch of tasks."""
        return self.negatives.append(self.sampler.sample())


def training_episodes(
    params: Params, history: History, group_U: Tensor, generator: torch.Generator
) -> Sampler:
    """Episodes of the historical users, with negatives where ``params`` ask for them.

    ``group_U`` is the backbone's; ``generator`` is the whole random state.
    """
    loop, negatives = params.meta_train.loop, params.meta_train.negatives
    sampler = EpisodeSampler(
        history,
        batch_size=loop.batch_size,
        query_size=loop.query_size,
        max_support=loop.max_support,
        group_U=group_U,
        generator=generator,
    )
    if not negatives.number:
        return sampler
    return WithNegatives(sampler, Negatives(history, negatives, generator))


def train(
    learner: MetaLearner[Any],
    params: Params,
    history: History,
    validation: Chooser,
    seed: int,
    checkpoints: Checkpoints,
    interrupt: Interrupt,
    what: str = "",
    watch: Watch | None = None,
) -> Trained:
    """Train on the users of ``history`` for as long as validation users choose, then calibrate.

    ``what`` tells errors and the display of whom, such as ``fold 0 seed 0``.

    Raises:
        TrainingDiverged: see :func:`coldstart.training.loop.meta_train`.
    """

    def run(until: Validation | int) -> Trained:
        generator = torch.Generator().manual_seed(seed)
        return meta_train(
            learner,
            training_episodes(params, history, learner.backbone.group_U, generator),
            generator,
            until,
            params.meta_train.loop,
            what=f"{learner.kind} {what}".strip(),
            checkpoints=checkpoints,
            interrupt=interrupt,
            device=params.device,
            watch=watch,
        )

    trained: Trained | None = None

    def stop_early(episodes: Episodes) -> int:
        nonlocal trained
        if params.meta_train.negatives.number:
            once = torch.Generator().manual_seed(seed)
            episodes = Negatives(history, params.meta_train.negatives, once).append(episodes)
        loop, shots = params.meta_train.loop, params.prepare.shots
        trained = run(Validation(episodes.to(params.device), shots, loop.batch_size))
        return trained.step

    steps = choose(validation, "steps", stop_early)
    trained = trained or run(steps)
    learner = trained.learner.calibrated(validation, params.prepare.shots)
    return replace(trained, learner=learner)
