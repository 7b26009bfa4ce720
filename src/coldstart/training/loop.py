"""The one outer loop: it applies meta-gradients and knows no algorithm by name.

Training stops early on validation users, and the untrained start is among the candidates. A learner
that ranks apart keeps a second theta, the one whose lists were best: a catalogue may be ranked best
long before ratings are predicted best. With checkpoints, a run that was killed and started again
ends, on the CPU, with the same bytes as one that was not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from coldstart.algorithms._base import MetaLearner, Theta
from coldstart.data.episodes import Episodes
from coldstart.params import LoopParams
from coldstart.progress import progress
from coldstart.training.checkpoint import Checkpoints
from coldstart.training.interrupt import EXIT_CODE, Interrupt
from coldstart.training.run import Row, Run
from coldstart.training.stopping import Stops, Validation

_LOG = logging.getLogger(__name__)

Watch = Callable[[int, MetaLearner[Any]], None]
"""Called after every evaluation with the step and the learner at its best theta so far; what it
raises ends the training."""


class Sampler(Protocol):
    """Draws training episodes."""

    def sample(self) -> Episodes:
        """A batch of tasks."""
        ...


@dataclass(frozen=True)
class Trained:
    """The learner at its best theta, the step that it is of, and the training curve."""

    learner: MetaLearner[Any]
    step: int
    history: list[Row]
    listing: Theta | None = None  # where its lists were best; None: not measured
    listing_step: int = 0  # the step that it is of


def meta_train(
    learner: MetaLearner[Any],
    sampler: Sampler,
    generator: torch.Generator,
    until: Validation | Stops,
    params: LoopParams,
    *,
    what: str,
    checkpoints: Checkpoints,
    interrupt: Interrupt,
    device: str = "cpu",
    watch: Watch | None = None,
) -> Trained:
    """Meta-train until the validation loss has not improved for ``patience`` evaluations.

    Args:
        learner: the start.
        sampler: training episodes.
        generator: the whole random state of ``sampler``.
        until: users that decide when to stop and which theta to keep; or the steps that they
            decided on, taken with the same step sizes.
        params: numbers of the loop.
        what: names the run in progress and errors, such as ``maml fold 0 seed 0``.
        checkpoints: where to resume from and to save to.
        interrupt: asks the loop to checkpoint and leave.
        device: where episodes are moved; the learner is there already.
        watch: follows the training, for instance to give up a hopeless one.

    Raises:
        TrainingDiverged: a loss or gradient is not finite; names the step and the tensor.
        SystemExit: 143, after a checkpoint, when an end was requested.
    """
    run = Run(learner, params)
    saved = checkpoints.load()
    if saved is None:
        _judge(run, until, what, watch)
    else:
        run.restore(*saved, generator)
        _LOG.info("%s: resumed at step %d", what, run.step)
    most = max(until) if isinstance(until, Stops) else params.max_steps
    last = most if learner.meta_trained else 0
    for _ in progress(range(run.step, last), what):
        if run.waited >= params.patience:
            break
        if interrupt.requested:
            checkpoints.save(run.step, *run.snapshot(generator))
            _LOG.warning("%s: asked to end; checkpoint at step %d", what, run.step)
            raise SystemExit(EXIT_CODE)
        run.advance(sampler.sample().to(device), what)
        if isinstance(until, Stops) or run.step % params.eval_every == 0 or run.step == last:
            _judge(run, until, what, watch)
        if run.step % params.checkpoint_every == 0:
            checkpoints.save(run.step, *run.snapshot(generator))
    # a stage of several runs that is cut off in a later one finds this one done
    checkpoints.save(run.step, *run.snapshot(generator))
    return _trained(run, until)


def _judge(run: Run, until: Validation | Stops, what: str, watch: Watch | None) -> None:
    """Keep theta if validation users find it the best so far, or found it the best before."""
    if isinstance(until, Stops):
        run.keep(until)
        return
    run.evaluate(until, what)
    if watch is not None:
        watch(run.step, run.learner.with_theta(run.best))


def _trained(run: Run, until: Validation | Stops) -> Trained:
    best = run.learner.with_theta(run.best)
    if isinstance(until, Stops):
        return Trained(best, until.steps, [], run.listing, until.listing)
    return Trained(best, run.best_step, run.history, run.listing, run.listing_step)
