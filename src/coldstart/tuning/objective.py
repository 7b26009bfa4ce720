"""The one objective of all methods: the error on validation users, over folds and support sizes.

With the rating head it is the root of the squared error, averaged over a fold's users and shots and
then over the folds, in rating points; averaged likewise, the log loss with the click-through head
and, with the ranking head, what ``list_recall@10`` lacks of 1. All come from
:func:`coldstart.evaluation.protocol.evaluate`, whatever loss a method trains with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from coldstart import layout
from coldstart.algorithms import ALGORITHMS
from coldstart.algorithms._base import MetaLearner
from coldstart.baselines import BASELINES
from coldstart.baselines import check_params as check_baselines
from coldstart.combinations import COMBINATIONS, possible
from coldstart.combinations.base import Ingredients
from coldstart.data.choices import Choices
from coldstart.data.episodes import History
from coldstart.data.prepared import Prepared
from coldstart.data.spare import spare_choices
from coldstart.errors import ArtefactError, ParamsError
from coldstart.evaluation.evaluation_set import EvaluationSet, evaluation_set
from coldstart.evaluation.protocol import evaluate
from coldstart.methods import bundle_folder, load_method
from coldstart.models.backbone import Backbone
from coldstart.models.backbones import fit_backbone
from coldstart.models.bundle import MANIFEST, Bundle
from coldstart.models.heads import HEADS
from coldstart.models.recommender import Recommender
from coldstart.params import Params, Section
from coldstart.training.checkpoint import Checkpoints
from coldstart.training.device import usable
from coldstart.training.fold import train
from coldstart.training.interrupt import Interrupt
from coldstart.tuning.target import Target

JUDGE = "ridge"
"""The baseline whose error on a backbone is the backbone's."""

Report = Callable[[int, float], None]
"""Told the step and the objective so far; what it raises ends the trial."""


class Fold(NamedTuple):
    """What is read of one fold; the same for every trial."""

    number: int
    history: History
    users: EvaluationSet  # role validation: what decides
    asked: Choices  # the same users, by other ratings: what is fitted on
    backbone: Backbone | None  # None where the backbone is what is tuned
    parts: Mapping[str, Recommender]  # what a combination is made from; of others none


class Objective:
    """The error of a target at a setting of its section."""

    def __init__(
        self, target: Target, params: Params, prepared: Prepared, folds: Sequence[int]
    ) -> None:
        """Read the folds.

        Raises:
            ArtefactError: a fold has not been prepared or pretrained.
            EvaluationError: a fold has no validation users with enough ratings.
        """
        self._target, self._params, self._prepared = target, params, prepared
        self._folds = [self._read(fold) for fold in folds]
        self._judge: Any = None
        if target.group == "pretrain":
            self._judge = check_baselines(params)[JUDGE]
        self._fit = {
            "pretrain": self._fit_backbone,
            "baselines": self._fit_baseline,
            "algorithms": self._train,
            "combine": self._combine,
        }[target.group]

    @property
    def reports_per_fold(self) -> int:
        """Steps by which one fold is ahead of the next: evaluations of a training, and its end."""
        if self._target.group != "algorithms":
            return 1
        loop = self._params.meta_train.loop
        return math.ceil(loop.max_steps / loop.eval_every) + 2

    def __call__(self, section: Section, report: Report) -> float:
        """Fit and evaluate fold by fold.

        Raises:
            TrainingDiverged: a loss or gradient is not finite.
            EvaluationError: a prediction is not.
        """
        done: list[float] = []
        for fold in self._folds:
            before = len(done) * self.reports_per_fold

            def so_far(step: int, model: Recommender, fold: Fold = fold, at: int = before) -> None:
                report(at + step, self._over([*done, self._error(model, fold)]))

            done.append(self._error(self._fit(fold, section, so_far), fold))
            if fold is not self._folds[-1]:
                report(before + self.reports_per_fold - 1, self._over(done))
        return self._over(done)

    def _read(self, number: int) -> Fold:
        if number not in self._prepared.folds:
            raise ArtefactError(
                f"{layout.PREPARED}: fold {number} is not in it, only {list(self._prepared.folds)};"
                " set prepare.folds, then run `dvc repro -s prepare pretrain`"
            )
        backbone = None
        if self._target.group != "pretrain":
            folder = layout.fold_folder(layout.BACKBONE, number)
            if not (folder / MANIFEST).is_file():
                raise ArtefactError(f"{folder}: not found; run `dvc repro -s pretrain`")
            backbone = Backbone.from_bundle(Bundle.load(folder))
        users = evaluation_set(self._prepared, self._params, number, "validation")
        asked = spare_choices(self._prepared, number)
        history = self._prepared.history(number)
        if self._target.group == "baselines" and backbone is not None:
            kind = BASELINES[self._target.name].reads or backbone.kind
            if kind != backbone.kind:
                pretrain, seed = self._params.pretrain, self._params.seed
                backbone = fit_backbone(kind, history, asked, pretrain, seed)
        folders = parts(self._target, self._params, number)
        fitted = {name: load_method(folder) for name, folder in folders.items()}
        return Fold(number, history, users, asked, backbone, fitted)

    def _error(self, model: Recommender, fold: Fold) -> float:
        shots = self._params.prepare.shots
        metric = {"rating": "mse", "click": "log_loss", "ranking": "list_recall@10"}[
            self._params.head
        ]
        catalogue = self._params.head == "ranking"
        found = float(evaluate(model, fold.users, shots, catalogue=catalogue).users[metric].mean())
        return 1 - found if catalogue else found

    def _over(self, errors: Sequence[float]) -> float:
        mean = sum(errors) / len(errors)
        return math.sqrt(mean) if self._params.head == "rating" else mean

    def _fit_backbone(self, fold: Fold, section: Section, watch: Any) -> Recommender:
        params, seed = self._params.pretrain, self._params.seed
        changed = params.model_copy(update={self._target.name: section})
        backbone = fit_backbone(self._target.name, fold.history, fold.asked, changed, seed)
        return BASELINES[JUDGE].fit(fold.history, backbone, fold.asked, self._judge, seed)

    def _fit_baseline(self, fold: Fold, section: Section, watch: Any) -> Recommender:
        assert fold.backbone is not None
        return BASELINES[self._target.name].fit(
            fold.history, fold.backbone, fold.asked, section, self._params.seed
        )

    def _combine(self, fold: Fold, section: Section, watch: Any) -> Recommender:
        assert fold.backbone is not None
        ingredients = Ingredients(
            methods=fold.parts,
            history=fold.history,
            validation=fold.asked,
            backbone=fold.backbone,
            params=self._params,
            seed=self._params.meta_train.seeds[0],
        )
        return COMBINATIONS[self._target.name].make(section, ingredients)

    def _train(
        self, fold: Fold, section: Section, watch: Callable[[int, Recommender], None]
    ) -> Recommender:
        """Train with the first of ``meta_train.seeds``, without resuming: a trial is short."""
        assert fold.backbone is not None
        params, seed = self._params, self._params.meta_train.seeds[0]
        algorithm = ALGORITHMS[self._target.name]
        learner = algorithm.create(fold.backbone, section, HEADS[params.head], seed)

        def on_evaluation(step: int, best: MetaLearner[Any]) -> None:
            watch(math.ceil(step / params.meta_train.loop.eval_every), best.to("cpu"))

        with TemporaryDirectory() as folder:
            trained = train(
                learner.to(usable(params.device)),
                params,
                fold.history,
                fold.asked,
                seed,
                Checkpoints(Path(folder)),
                Interrupt(),
                f"fold {fold.number}",
                on_evaluation,
            )
        return trained.learner.to("cpu")


def parts(target: Target, params: Params, fold: int) -> dict[str, Path]:
    """Bundles of the methods that a combination is made from; of anything else none.

    Raises:
        ParamsError: the run of ``params`` fits too few of them.
    """
    if target.group != "combine":
        return {}
    names = possible(params).get(target.name)
    if names is None:
        raise ParamsError(
            f"{target.where}: made from methods that this run does not fit; "
            "add them to meta_train.algorithms"
        )
    seed = params.meta_train.seeds[0]
    return {name: bundle_folder(name, fold, seed) for name in names}
