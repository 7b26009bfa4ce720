"""The study itself, on a function whose minimum is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch

from coldstart.errors import TrainingDiverged
from coldstart.tuning.objective import Report
from coldstart.tuning.pruning import MIN_TRIALS, MedianAtStep
from coldstart.tuning.space import Range, Values
from coldstart.tuning.study import Outcome, run_study

SPACE = {"x": Range(0.01, 100.0, log=True, integer=False), "n": Range(1, 20, False, True)}
START: Values = {"x": 12.3456, "n": 9}


def _bowl(values: Values) -> float:
    """Minimum 0 at x = 1, n = 5."""
    return math.log(values["x"]) ** 2 + 0.1 * (values["n"] - 5) ** 2


class Recorder:
    """Counts what it is asked, and may be told to do something else at a call."""

    def __init__(self, at: dict[int, Callable[[], None]] | None = None) -> None:
        self.asked: list[Values] = []
        self.at = at or {}

    def __call__(self, values: Values, report: Report) -> float:
        self.asked.append(values)
        self.at.get(len(self.asked) - 1, lambda: None)()
        return _bowl(values)


def _run(database: Path, error_of: Callable[[Values, Report], float], trials: int = 25) -> Outcome:
    return run_study(
        database, SPACE, START, error_of, trials=trials, seed=3, reports_per_fold=1, what="bowl"
    )


def test_the_first_trial_is_the_present_setting_as_it_stands(tmp_path: Path) -> None:
    recorder = Recorder()
    found = _run(tmp_path / "a.db", recorder, trials=1)
    assert recorder.asked == [START]
    assert (found.values, found.error, found.start) == (START, _bowl(START), _bowl(START))


def test_it_finds_the_bottom_and_spends_the_budget_exactly(tmp_path: Path) -> None:
    recorder = Recorder()
    found = _run(tmp_path / "a.db", recorder)
    assert len(recorder.asked) == found.trials == 25
    assert found.error == min(map(_bowl, recorder.asked)) == _bowl(found.values)
    assert found.error < 0.1 * _bowl(START)


def test_the_same_seed_goes_the_same_way(tmp_path: Path) -> None:
    first, second = Recorder(), Recorder()
    assert _run(tmp_path / "a.db", first) == _run(tmp_path / "b.db", second)
    assert first.asked == second.asked
    assert len({tuple(v.items()) for v in first.asked}) > 20, "trials must differ from each other"


@pytest.mark.parametrize("cut", [0, 3, 17])
def test_a_study_that_was_cut_off_goes_on_as_if_it_had_not_been(tmp_path: Path, cut: int) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    whole, before, after = Recorder(), Recorder({cut: die}), Recorder()
    expected = _run(tmp_path / "whole.db", whole)
    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path / "cut.db", before)
    assert _run(tmp_path / "cut.db", after) == expected
    assert before.asked == whole.asked[: cut + 1]
    assert after.asked == whole.asked[cut:], "only the trial that was cut off is made again"


def test_a_finished_study_makes_no_further_trial_and_a_larger_budget_goes_on(
    tmp_path: Path,
) -> None:
    again, more = Recorder(), Recorder()
    found = _run(tmp_path / "a.db", Recorder(), trials=6)
    assert _run(tmp_path / "a.db", again, trials=6) == found
    assert again.asked == []
    assert _run(tmp_path / "a.db", more, trials=9).trials == 9
    assert len(more.asked) == 3


def _raise(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_bad_trials_fail_and_count_and_the_study_goes_on(tmp_path: Path) -> None:
    torch_error = torch.linalg.LinAlgError("not positive definite")
    recorder = Recorder(
        {
            0: _raise(TrainingDiverged("the loss is nan")),
            2: _raise(np.linalg.LinAlgError("singular")),
            4: _raise(torch_error),
        }
    )
    found = _run(tmp_path / "a.db", recorder, trials=8)
    assert (found.trials, found.failed, found.start) == (8, 3, None)
    assert len(recorder.asked) == 8
    good = [v for i, v in enumerate(recorder.asked) if i not in (0, 2, 4)]
    assert found.values == min(good, key=_bowl)


def test_a_mistake_of_ours_ends_the_study(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        _run(tmp_path / "a.db", Recorder({1: _raise(RuntimeError("shapes do not match"))}))


def test_a_study_without_any_good_trial_says_why(tmp_path: Path) -> None:
    def diverge(values: Values, report: Report) -> float:
        raise TrainingDiverged("the loss is inf at step 3")

    with pytest.raises(TrainingDiverged, match=r"bowl: all 4 trials failed.*inf at step 3"):
        _run(tmp_path / "a.db", diverge, trials=4)


def test_hopeless_trials_are_given_up_and_never_chosen(tmp_path: Path) -> None:
    asked: list[tuple[float, int]] = []  # error, steps made

    def slow(values: Values, report: Report) -> float:
        asked.append((_bowl(values), 0))
        for step in range(4):
            report(step, _bowl(values) + 4 - step)
            asked[-1] = (_bowl(values), step + 1)
        return _bowl(values)

    found = _run(tmp_path / "a.db", slow, trials=30)
    assert found.pruned > 0
    assert found.pruned == sum(steps < 4 for _, steps in asked)
    assert found.error == min(error for error, steps in asked if steps == 4)
    assert found.error == min(error for error, _ in asked)


def _pruned(values: list[list[float]], reports_per_fold: int) -> list[bool]:
    """Whether the pruner gives up at each step of the last trial, the others having ended."""
    pruner = MedianAtStep(reports_per_fold)
    study = optuna.create_study(pruner=pruner)
    for history in values[:-1]:
        trial = study.ask()
        for step, value in enumerate(history):
            trial.report(value, step)
        study.tell(trial, history[-1])
    last = study.ask()
    decisions = []
    for step, value in enumerate(values[-1]):
        last.report(value, step)
        decisions.append(last.should_prune())
    return decisions


def test_the_median_rule() -> None:
    ended = [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0], [5.0]]
    assert _pruned([*ended, [3.1, 2.4]], 1) == [True, False]
    assert _pruned([*ended, [3.0, 2.6]], 1) == [False, False], "four ended at step 1: too few"
    assert MIN_TRIALS == 5


def test_an_easy_first_fold_does_not_shield_a_bad_setting() -> None:
    ended = [[0.5, 1.0]] * 5
    assert _pruned([*ended, [0.5, 1.1]], 1) == [False, True]


def test_a_training_is_not_given_up_at_its_start() -> None:
    ended = [[1.0] * 16] * 5
    assert _pruned([*ended, [2.0] * 16], 8) == [False, False, *[True] * 6] * 2
