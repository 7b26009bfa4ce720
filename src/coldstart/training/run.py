"""A training run: theta, the best of it so far, the optimiser and the curve."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from coldstart.algorithms._base import MetaLearner, Theta
from coldstart.data.episodes import Episodes
from coldstart.errors import TrainingDiverged
from coldstart.params import LoopParams
from coldstart.training.micro_batches import batch_gradient
from coldstart.training.stopping import Stops, Validation

_ADVICE = "try a smaller inner_rate or outer_rate of the algorithm, or check the data"


class Row(NamedTuple):
    """A point of the training curve."""

    step: int
    training: float | None  # mean loss of the batches since the point before; None at the start
    validation: float
    listed: float | None = None  # recall of the lists, of a learner that ranks apart


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
