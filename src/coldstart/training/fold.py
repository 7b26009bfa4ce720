"""Meta-train one learner on one fold: its episodes, its validation users, its randomness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from coldstart.algorithms._base import MetaLearner
from coldstart.algorithms._ranks_apart import RanksApart
from coldstart.data.episodes import Episodes, EpisodeSampler, History
from coldstart.data.negatives import Negatives
from coldstart.data.prepared import Prepared
from coldstart.data.spare import spare_episodes
from coldstart.params import Params
from coldstart.training.checkpoint import Checkpoints
from coldstart.training.interrupt import Interrupt
from coldstart.training.listing import Lists
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
    """Train on the fold's historical users, stopped and calibrated by its validation users.

    Raises:
        TrainingDiverged: see :func:`coldstart.training.loop.meta_train`.
    """
    generator = torch.Generator().manual_seed(seed)
    history = prepared.history(fold)
    sampler = training_episodes(params, history, learner.backbone.group_U, generator)
    spare = spare_episodes(prepared, fold).to(params.device)
    episodes, shots = spare, params.prepare.shots
    if params.meta_train.negatives.number:
        once = torch.Generator().manual_seed(seed)
        negatives = Negatives(history, params.meta_train.negatives, once)
        episodes = negatives.append(spare.to("cpu")).to(params.device)
    trained = meta_train(
        learner,
        sampler,
        generator,
        Validation(
            episodes,
            shots,
            params.meta_train.loop.batch_size,
            _lists(prepared, fold, spare, history.like, shots) if learner.ranks_apart else None,
        ),
        params.meta_train.loop,
        what=f"{learner.kind} fold {fold} seed {seed}",
        checkpoints=checkpoints,
        interrupt=interrupt,
        device=params.device,
        watch=watch,
    )
    done = trained.learner.calibrated(spare, shots)
    if trained.listing is not None:
        assert isinstance(done, RanksApart)
        done = done.with_listing(trained.listing)
    return replace(trained, learner=done)


def _lists(
    prepared: Prepared, fold: int, spare: Episodes, like: float, shots: Sequence[int]
) -> Lists:
    """Likes among spare ratings are right; what evaluation reads of the same users is left out."""
    judged = prepared.eval_episodes(fold, "validation")
    row_B = torch.searchsorted(judged.users_B, spare.users_B.cpu())
    left_out_BX = torch.cat([judged.support.items_BS, judged.items_BQ], 1)[row_B]
    own_BQ = spare.items_BQ.cpu().masked_fill(~spare.mask_BQ.cpu(), 0)
    # where nothing is spare the evaluated query has to do
    spared_BX = (left_out_BX.unsqueeze(-1) == own_BQ.unsqueeze(1)).any(-1)
    left_out_BX = left_out_BX.masked_fill(spared_BX, 0).to(spare.items_BQ.device)
    return Lists(spare, left_out_BX, like, shots)
