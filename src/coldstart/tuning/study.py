"""A study: trials one after the other, in a database that survives a kill at any moment.

What a trial tries depends on the seed, on its number and on the outcomes before it, never on the
state of a generator: a study that was killed and started again goes the same way as one that was
not. A trial that was cut off does not count and is tried again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optuna
import torch
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

from coldstart.errors import EvaluationError, ParamsError, TrainingDiverged
from coldstart.progress import silent
from coldstart.tuning.objective import Report
from coldstart.tuning.pruning import MedianAtStep
from coldstart.tuning.space import Range, Values, suggest

_LOG = logging.getLogger("coldstart.tune")

BAD = (
    TrainingDiverged,
    EvaluationError,
    ParamsError,  # of values that do not go together
    np.linalg.LinAlgError,
    torch.linalg.LinAlgError,  # type: ignore[attr-defined]
)
"""What a bad setting may cause: the trial has failed, the study goes on."""

_VALUES, _ERROR = "values", "error"


class Outcome(NamedTuple):
    """What a study found."""

    values: Values
    error: float  # the objective of these values
    start: float | None  # the objective of the first trial; None where that one failed
    trials: int
    pruned: int
    failed: int
    digest: str


def run_study(
    database: Path,
    space: Mapping[str, Range],
    start: Values,
    error_of: Callable[[Values, Report], float],
    *,
    trials: int,
    seed: int,
    reports_per_fold: int,
    what: str,
) -> Outcome:
    """Try ``start``, then what the sampler (TPE) suggests, until ``trials`` have ended.

    Args:
        database: SQLite file; a study that is in it goes on.
        space: what the sampler may suggest.
        start: the setting of the first trial.
        error_of: the objective; tells its second argument how it stands at each step.
        trials: how many trials end, well or not.
        seed: of the sampler.
        reports_per_fold: steps of one fold.
        what: names the study in the display.

    Raises:
        TrainingDiverged: every trial failed.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    database.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{database}",
        study_name="tune",
        load_if_exists=True,
        pruner=MedianAtStep(reports_per_fold),
    )
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)  # without _ERROR: cut off
    first = len(_ended(study))
    if first:
        _LOG.info("%s: %s of %s trials were made before", what, min(first, trials), trials)
    for number in range(first, trials):
        study.sampler = TPESampler(seed=_seed(seed, number))
        if number == 0 and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            study.enqueue_trial(dict(start))
        attempt = study.ask()
        values = suggest(attempt, space)
        values = start if number == 0 else values
        attempt.set_user_attr(_VALUES, values)
        with silent():
            _try(study, attempt, values, error_of)
        _say(_ended(study), what, trials)
    return _outcome(_ended(study)[:trials], what)


def _try(
    study: optuna.Study,
    trial: optuna.Trial,
    values: Values,
    error_of: Callable[[Values, Report], float],
) -> None:
    def report(step: int, value: float) -> None:
        trial.report(value, step)
        if trial.should_prune():
            raise optuna.TrialPruned

    try:
        value = error_of(values, report)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except BAD as error:
        trial.set_user_attr(_ERROR, str(error))
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, value)


def _ended(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count, in order: all but those that were cut off."""
    ended = study.get_trials(
        deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    )
    return [t for t in ended if t.state != TrialState.FAIL or _ERROR in t.user_attrs]


def _best(ended: list[FrozenTrial]) -> FrozenTrial | None:
    """The lowest error; equal ones go to the earlier trial."""
    whole = [trial for trial in ended if trial.state == TrialState.COMPLETE]
    return min(whole, key=lambda trial: (trial.value, trial.number), default=None)


def _outcome(ended: list[FrozenTrial], what: str) -> Outcome:
    best = _best(ended)
    if best is None:
        last = ended[-1].user_attrs[_ERROR]
        raise TrainingDiverged(f"{what}: all {len(ended)} trials failed, the last with: {last}")
    assert best.value is not None
    states = [trial.state for trial in ended]
    story = [[t.user_attrs[_VALUES], t.state.name, t.value] for t in ended]
    return Outcome(
        values=best.user_attrs[_VALUES],
        error=best.value,
        start=ended[0].value,
        trials=len(ended),
        pruned=states.count(TrialState.PRUNED),
        failed=states.count(TrialState.FAIL),
        digest=hashlib.sha256(json.dumps(story, sort_keys=True).encode()).hexdigest(),
    )


def _say(ended: list[FrozenTrial], what: str, trials: int) -> None:
    newest, best = ended[-1], _best(ended)
    how = {
        TrialState.COMPLETE: f"{newest.value or 0:.5f}",
        TrialState.PRUNED: "given up",
        TrialState.FAIL: f"failed: {newest.user_attrs.get(_ERROR)}",
    }[newest.state]
    lowest = "none yet" if best is None else f"{best.value:.5f}"
    _LOG.info("%s: trial %s of %s: %s (best %s)", what, len(ended), trials, how, lowest)


def _seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
