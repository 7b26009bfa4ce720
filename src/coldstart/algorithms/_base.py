"""What every meta-learner is: pure functions of a dictionary of parameters, theta.

The outer loop (:mod:`coldstart.training.loop`) asks a learner for the meta-gradient at a theta and
knows nothing else about it. A learner holds the frozen backbone; nothing here is ever mutated.

Legend: B users, S support, Q query, N items, D backbone features, F user features, C tables.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from torch import Tensor

from coldstart.data.choices import Chooser
from coldstart.data.episodes import Episodes, Support
from coldstart.models.backbone import Backbone
from coldstart.models.bundle import Bundle
from coldstart.models.heads import HEADS, Head
from coldstart.models.recommender import Prediction, Recommender, State
from coldstart.params import Section

Theta = dict[str, Tensor]
"""Meta-parameters by name; what meta-training changes and nothing else."""

P = TypeVar("P", bound=Section)

_CHUNK = 4_000_000
"""Most numbers of a layer held at once while whole catalogues are scored."""


class MetaLearner(Recommender, Generic[P]):
    """A recommender whose parameters were learnt over users as tasks."""

    Params: ClassVar[type[Section]]
    """Section of ``params.yaml`` under ``algorithms.KIND``."""
    meta_trained: ClassVar[bool] = True
    """False where the method is its own starting point and the outer loop has nothing to do."""
    independent_users: ClassVar[bool] = True
    """Whether a user's training loss is the same in every batch; if not, ``accumulate`` matters."""
    mixed_precision: ClassVar[bool] = True
    """Whether matrix products may be rounded to bfloat16 while meta-training."""
    starts_as_backbone: ClassVar[bool] = True
    """Whether, before meta-training, a user without support is predicted as by the backbone."""

    ranks_apart: ClassVar[bool] = False
    """Whether the theta that ranks is chosen by the list, apart from the one that predicts; see
    :mod:`coldstart.algorithms._ranks_apart`."""

    def __init__(self, backbone: Backbone, params: P, head: Head, theta: Theta) -> None:
        self.backbone = backbone
        self.params = params
        self.head = head
        self.theta = {name: value.detach() for name, value in theta.items()}
        self.n_items = backbone.n_items

    @classmethod
    def create(cls, backbone: Backbone, params: P, head: Head, seed: int) -> Self:
        """The learner before any meta-training."""
        return cls(backbone, params, head, cls.initial(backbone, params, head, seed))

    @classmethod
    @abstractmethod
    def initial(cls, backbone: Backbone, params: P, head: Head, seed: int) -> Theta:
        """Theta before meta-training; the same seed gives the same values."""

    @abstractmethod
    def adapt_with(self, theta: Theta, support: Support, *, training: bool) -> State:
        """Adapt at ``theta``; with ``training``, differentiable with respect to it."""

    @abstractmethod
    def score_with(
        self, theta: Theta, state: State, items_BQ: Tensor, crossfit_B: Tensor
    ) -> Prediction:
        """Scores (not yet in target units) of items, read from each user's cross-fitted table."""

    @abstractmethod
    def outer_rate(self, step: int, max_steps: int) -> float:
        """Step size of meta-update ``step``, from 1 to ``max_steps``."""

    def outer_optimiser(self, values: Iterable[Tensor]) -> torch.optim.Optimizer:
        """The optimiser that applies meta-gradients; the loop sets its step size."""
        return torch.optim.Adam(values, lr=self.outer_rate(1, 1))

    def query_loss(self, theta: Theta, episodes: Episodes, *, training: bool) -> Tensor:
        """Mean loss over each user's query after adapting to the support: ``[B]``."""
        support = episodes.support
        state = self.adapt_with(theta, support, training=training)
        score_BQ = self.score_with(theta, state, episodes.items_BQ, support.crossfit_B).mean
        return self.head.query_loss(score_BQ, *judged(episodes))

    def meta_gradient(self, theta: Theta, episodes: Episodes) -> tuple[Tensor, Theta]:
        """Mean query loss over the users, and its gradient with respect to ``theta``."""
        theta = {name: value.detach().requires_grad_() for name, value in theta.items()}
        with torch.enable_grad():
            loss = self.query_loss(theta, episodes, training=True).mean()
            gradients = torch.autograd.grad(loss, list(theta.values()), materialize_grads=True)
        return loss.detach(), dict(zip(theta, gradients, strict=True))

    def calibrated(self, validation: Chooser, shots: Sequence[int]) -> Self:
        """The same with what is left to fit once theta is chosen; by default nothing is.

        Args:
            validation: users judged by ratings that no evaluation reads, or what they chose.
            shots: support sizes.
        """
        del validation, shots
        return self

    def with_theta(self, theta: Theta) -> Self:
        """The same learner at another theta."""
        return type(self)(self.backbone, self.params, self.head, theta)

    def to(self, device: torch.device | str) -> Self:
        """The same learner on another device."""
        theta = {name: value.to(device) for name, value in self.theta.items()}
        return type(self)(self.backbone.to(device), self.params, self.head, theta)

    def adapt(self, support: Support) -> State:
        """See :meth:`Recommender.adapt`; new users read the table fitted on all history.

        Works in ``torch.inference_mode`` too, although gradients may be taken inside.
        """
        with torch.inference_mode(False), torch.no_grad():
            support = Support(*ordinary(support._asdict()).values())
            return self.adapt_with(self.theta, support.of_new_users(), training=False)

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """See :meth:`Recommender.score`."""
        with torch.no_grad():
            all_history_B = items_BQ.new_zeros(items_BQ.shape[0])
            return self.predict(self.score_with(self.theta, state, items_BQ, all_history_B))

    def predict(self, scores: Prediction) -> Prediction:
        """Scores in the unit of the targets."""
        return Prediction(self.head.predict(scores.mean), scores.variance)

    def tensors(self) -> dict[str, Tensor]:
        """Theta and what the backbone has for new users."""
        own = {f"theta.{name}": value for name, value in self.theta.items()}
        tables = {f"backbone.{name}": value for name, value in self.backbone.serving().items()}
        return own | tables

    def config(self) -> dict[str, Any]:
        """Parameters of the algorithm, the head and the kind of backbone."""
        return {
            "params": self.params.model_dump(mode="json"),
            "head": self.head.name,
            "backbone": self.backbone.kind,
        }

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """See :meth:`Recommender.from_bundle`."""
        parts: dict[str, dict[str, Tensor]] = {"theta": {}, "backbone": {}}
        for name, value in bundle.tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        backbone = Backbone(kind=bundle.config["backbone"], **parts["backbone"])
        params: Any = cls.Params.model_validate(bundle.config["params"])
        return cls(backbone, params, HEADS[bundle.config["head"]], parts["theta"])


def ordinary(state: State) -> State:
    """The same tensors, fit for gradients where ``torch.inference_mode`` made them."""
    return {n: value.clone() if value.is_inference() else value for n, value in state.items()}


def judged(episodes: Episodes) -> tuple[Tensor, Tensor, Tensor | None]:
    """What :meth:`Head.query_loss` reads beside the scores."""
    return episodes.targets_BQ, episodes.mask_BQ, episodes.draws_BQ


def in_chunks(score: Callable[[State], Tensor], state: State, per_user: int) -> Tensor:
    """``score(state)`` taken a few users at a time, of which each holds ``per_user`` numbers."""
    rows = max(1, _CHUNK // per_user)
    users = next(iter(state.values())).shape[0]
    # once even where there is nobody: the result has a width
    starts = range(0, max(users, 1), rows)
    return torch.cat([score({n: v[i : i + rows] for n, v in state.items()}) for i in starts])
