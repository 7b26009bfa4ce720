"""The one outer loop: it applies meta-gradients and knows no algorithm by name.

Training stops early on validation users, and the untrained start is among the candidates. A learner
that ranks apart keeps a second theta, the one whose lists were best: a catalogue may be ranked best
long before ratings are predicted best. With
checkpoints, a run that was killed and started again ends, on the CPU, with the same bytes as one
that was not.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from coldstart.algorithms._base import MetaLearner, Theta
from coldstart.data.episodes import Episodes
from coldstart.errors import TrainingDiverged
from coldstart.params import LoopParams
from coldstart.progress import progress
from coldstart.training.checkpoint import Checkpoints
from coldstart.training.interrupt import EXIT_CODE, Interrupt
from coldstart.training.listing import Lists
from coldstart.training.micro_batches import batch_gradient

_LOG = logging.getLogger(__name__)

_ADVICE = "try a smaller inner_rate or outer_rate of the algorithm, or check the data"


Watch = Callable[[int, MetaLearner[Any]], None]
"""Called after every evaluation with the step and the learner at its best theta so far; what it
raises ends the training."""


class Sampler(Protocol):
    """Draws training episodes."""

    def sample(self) -> Episodes:
        """A batch of tasks."""
        ...


@dataclass(frozen=True)
class Validation:
    """Validation users, at every support size."""

    episodes: Episodes
    shots: Sequence[int]
    batch_size: int
    """Most users at once, as in training: it bounds the memory, and where a user's negatives are
    the others' items, there are as many of them."""
    lists: Lists | None = None
    """What lists are judged by, of a learner that ranks apart; None: it ranks where it predicts."""

    def loss(self, learner: MetaLearner[Any]) -> float:
        """Mean of the query loss over support sizes and users."""
        losses = []
        for k in self.shots:
            task = self.episodes._replace(support=self.episodes.support.first(k))
            losses += [
                learner.query_loss(learner.theta, task.rows(part_B), training=False)
                for part_B in self._parts
            ]
        return float(torch.cat(losses).mean())

    @cached_property
    def _parts(self) -> tuple[Tensor, ...]:
        """Rows of the users, in parts of about the same size."""
        rows_B = torch.arange(self.episodes.n_users, device=self.episodes.users_B.device)
        return rows_B.tensor_split(math.ceil(len(rows_B) / self.batch_size))


class Row(NamedTuple):
    """A point of the training curve."""

    step: int
    training: float | None  # mean loss of the batches since the point before; None at the start
    validation: float
    listed: float | None = None  # recall of the lists, of a learner that ranks apart


class Stops(NamedTuple):
    """The steps at which validation users found theta best; both may be 0, the start."""

    steps: int  # for what it predicts
    listing: int  # for what it ranks, where that is another matter


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

    def evaluate() -> None:
        if isinstance(until, Stops):
            return
        run.evaluate(until, what)
        if watch is not None:
            watch(run.step, learner.with_theta(run.best))

    saved = checkpoints.load()
    if saved is not None:
        run.restore(*saved, generator)
        _LOG.info("%s: resumed at step %d", what, run.step)
    else:
        evaluate()
        if isinstance(until, Stops):
            run.keep(until)
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
        if isinstance(until, Stops):
            run.keep(until)
        if run.step % params.eval_every == 0 or run.step == last:
            evaluate()
        if run.step % params.checkpoint_every == 0:
            checkpoints.save(run.step, *run.snapshot(generator))
    # a stage of several runs that is cut off in a later one finds this one done
    checkpoints.save(run.step, *run.snapshot(generator))
    if isinstance(until, Validation):
        return Trained(
            learner.with_theta(run.best), run.best_step, run.history, run.listing, run.listing_step
        )
    return Trained(learner.with_theta(run.best), until.steps, [], run.listing, until.listing)


class Run:
    """The state of a training run, all of which a checkpoint holds."""

    def __init__(self, learner: MetaLearner[Any], params: LoopParams) -> None:
        self.learner = learner
        self.params = params
        self.theta = {name: learner.theta[name].clone() for name in sorted(learner.theta)}
        self.best = {name: value.clone() for name, value in self.theta.items()}
        self.optimiser = learner.outer_optimiser(self.theta.values())
        self.step = 0
        self.waited = 0  # evaluations since the best one
        self.summed_loss = 0.0  # over the training batches since the last evaluation
        self.history: list[Row] = []
        self.listing: Theta | None = None  # theta of the best list so far

    def advance(self, episodes: Episodes, what: str) -> None:
        """One meta-update.

        Raises:
            TrainingDiverged: the loss or a gradient is not finite.
        """
        step = self.step + 1
        loss, gradients = batch_gradient(self.learner, self.theta, episodes, self.params)
        norm = torch.stack([gradient.norm() for gradient in gradients.values()]).norm()
        value, size = torch.stack([loss, norm]).tolist()
        if not math.isfinite(value):
            raise TrainingDiverged(f"{what}: the loss is {value} at step {step}; {_ADVICE}")
        if not math.isfinite(size):
            bad = [name for name, g in gradients.items() if not bool(g.isfinite().all())]
            raise TrainingDiverged(
                f"{what}: the gradient of {', '.join(bad) or 'theta'} is not finite at step {step}"
                f" (loss {value:.4g}); {_ADVICE}"
            )
        scale = min(1.0, self.params.clip_norm / max(size, 1e-12))
        for name, tensor in self.theta.items():
            tensor.grad = gradients[name] * scale
        for group in self.optimiser.param_groups:
            group["lr"] = self.learner.outer_rate(step, self.params.max_steps)
        self.optimiser.step()
        self.step = step
        self.summed_loss += value

    def evaluate(self, validation: Validation, what: str) -> None:
        """Measure the validation loss and keep theta if it is the best so far.

        Raises:
            TrainingDiverged: the validation loss is not finite.
        """
        candidate = self.learner.with_theta(self.theta)
        loss = validation.loss(candidate)
        if not math.isfinite(loss):
            raise TrainingDiverged(
                f"{what}: the validation loss is {loss} after step {self.step}; {_ADVICE}"
            )
        steps = self.step - (self.history[-1].step if self.history else 0)
        best = min((row.validation for row in self.history), default=math.inf)
        listed = self._listed(validation, candidate)
        training = self.summed_loss / steps if steps else None
        self.history.append(Row(self.step, training, loss, listed))
        self.summed_loss = 0.0
        self.waited = 0 if loss < best else self.waited + 1
        if loss < best:
            self.best = self._copy()

    def _listed(self, validation: Validation, candidate: MetaLearner[Any]) -> float | None:
        """Recall of the candidate's lists; keeps its theta if they are the best so far."""
        if validation.lists is None or not candidate.ranks_apart:
            return None
        recall = validation.lists.recall(candidate)
        if recall > max((row.listed or 0.0 for row in self.history), default=-1.0):
            self.listing = self._copy()
        return recall

    def keep(self, stops: Stops) -> None:
        """Keep theta where it is the one that validation users chose before."""
        if self.step == stops.steps:
            self.best = self._copy()
        if self.step == stops.listing and self.learner.ranks_apart:
            self.listing = self._copy()

    def _copy(self) -> Theta:
        return {name: value.clone() for name, value in self.theta.items()}

    @property
    def best_step(self) -> int:
        """The step of the lowest validation loss, the first of equal ones."""
        return min(self.history, key=lambda row: (row.validation, row.step)).step

    @property
    def listing_step(self) -> int:
        """The step of the best lists, the first of equal ones; ``best_step`` without any."""
        listed = [row for row in self.history if row.listed is not None]
        if not listed:
            return self.best_step
        return max(listed, key=lambda row: (row.listed or 0.0, -row.step)).step

    def snapshot(self, generator: torch.Generator) -> tuple[Theta, dict[str, Any]]:
        """Everything that :meth:`restore` needs, as tensors and JSON values."""
        tensors = {f"theta.{name}": value for name, value in self.theta.items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        tensors |= {f"listing.{name}": value for name, value in (self.listing or {}).items()}
        tensors["generator"] = generator.get_state()
        for index, state in self.optimiser.state_dict()["state"].items():
            moments = {name: v for name, v in state.items() if v is not None}
            tensors |= {f"optimiser.{index}.{name}": value for name, value in moments.items()}
        return tensors, {
            "step": self.step,
            "waited": self.waited,
            "summed_loss": self.summed_loss,
            "history": [list(row) for row in self.history],
        }

    def restore(self, tensors: Theta, state: dict[str, Any], generator: torch.Generator) -> None:
        """Continue where :meth:`snapshot` was taken."""
        moments: dict[int, dict[str, Tensor]] = {}
        listing: Theta = {}
        for key, value in tensors.items():
            part, _, name = key.partition(".")
            if part in ("theta", "best"):
                getattr(self, part)[name].copy_(value)
            elif part == "listing":
                listing[name] = value.to(self.theta[name].device)
            elif part == "optimiser":
                index, _, moment = name.partition(".")
                moments.setdefault(int(index), {})[moment] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        generator.set_state(tensors["generator"])
        self.listing = listing or None
        self.step, self.waited = state["step"], state["waited"]
        self.summed_loss = state["summed_loss"]
        self.history = [Row(*row) for row in state["history"]]
