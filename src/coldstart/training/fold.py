"""Meta-train one learner: its episodes, its validation users, its randomness."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from coldstart.algorithms._base import MetaLearner
from coldstart.algorithms._ranks_apart import RanksApart
from coldstart.data.choices import Choices, Chooser, choose
from coldstart.data.episodes import Episodes, EpisodeSampler, History
from coldstart.data.negatives import Negatives
from coldstart.params import Params
from coldstart.training.checkpoint import Checkpoints
from coldstart.training.interrupt import Interrupt
from coldstart.training.listing import Lists
from coldstart.training.loop import Sampler, Trained, Watch, meta_train
from coldstart.training.stopping import Stops, Validation


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

    def run(until: Validation | Stops) -> Trained:
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

    shots, trained = params.prepare.shots, None

    def stop_early(users: Episodes) -> int:
        nonlocal trained
        judged_BX = validation.judged_BX if isinstance(validation, Choices) else None
        trained = run(_validation(learner, params, history, users, judged_BX, seed))
        return trained.step

    steps = choose(validation, "steps", stop_early)
    listing = steps
    if learner.ranks_apart:
        listing = choose(validation, "listing_steps", lambda _: _known(trained).listing_step)
    trained = trained or run(Stops(steps, listing))
    done = trained.learner.calibrated(validation, shots)
    if trained.listing is not None:
        assert isinstance(done, RanksApart)
        done = done.with_listing(trained.listing)
    return replace(trained, learner=done)


def _validation(
    learner: MetaLearner[Any],
    params: Params,
    history: History,
    users: Episodes,
    judged_BX: Tensor | None,
    seed: int,
) -> Validation:
    """What stops a training: the loss on spare ratings and, of what ranks apart, their lists."""
    loop, shots, spare = params.meta_train.loop, params.prepare.shots, users.to(params.device)
    if params.meta_train.negatives.number:
        once = torch.Generator().manual_seed(seed)
        users = Negatives(history, params.meta_train.negatives, once).append(users)
    lists = None
    if learner.ranks_apart and judged_BX is not None:
        lists = Lists(spare, judged_BX.to(params.device), history.like, shots)
    return Validation(users.to(params.device), shots, loop.batch_size, lists)


def _known(trained: Trained | None) -> Trained:
    assert trained is not None, "whoever is asked for the list has been asked for the loss"
    return trained
