"""Give up a trial that is behind the median of the trials that ended, at the same step."""

from __future__ import annotations

from statistics import median

from optuna import Study
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

MIN_TRIALS = 5
"""Trials that must have ended before one is given up."""
WARM_UP = 4
"""No training is given up in the first 1 / WARM_UP of its evaluations: small steps start slow."""


class MedianAtStep(BasePruner):
    """The median rule of Golovin et al. 2017 (Vizier), section 3.2.2, on values as they stand.

    Optuna's own compares a trial's best value over all its steps. A step here is the mean over the
    folds so far, and folds differ by more than settings do: an easy first fold would shield a bad
    setting in all later ones.
    """

    def __init__(self, reports_per_fold: int) -> None:
        self._reports_per_fold = reports_per_fold

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the newest value is above the median."""
        step = trial.last_step
        if step is None or step % self._reports_per_fold < self._reports_per_fold // WARM_UP:
            return False
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        others = [t.intermediate_values[step] for t in ended if step in t.intermediate_values]
        return len(others) >= MIN_TRIALS and trial.intermediate_values[step] > median(others)
