"""``coldstart tune``: one study after the other, each ending in ``params.yaml``."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

import coldstart
from coldstart import environment, layout
from coldstart.data.prepared import Prepared
from coldstart.errors import ColdstartError, ParamsError
from coldstart.params import Params, Tuned, load_params
from coldstart.training.allocator import keep_freed_memory
from coldstart.training.checkpoint import digest
from coldstart.tuning.objective import JUDGE, Objective, Report, parts
from coldstart.tuning.record import digest_of, store
from coldstart.tuning.space import Values
from coldstart.tuning.study import Outcome, run_study
from coldstart.tuning.target import BACKBONE, Target, find_target

_LOG = logging.getLogger("coldstart.tune")

_EVALUATION = ("data", "models", "evaluation", "tuning")
_TRAINING = (*_EVALUATION, "algorithms", "training")
_CODE = {
    "pretrain": (*_EVALUATION, "baselines"),
    "baselines": (*_EVALUATION, "baselines"),
    "algorithms": _TRAINING,
    "combine": (*_TRAINING, "baselines", "combinations"),
}


def tune(names: Sequence[str], trials: int | None = None, folds: Sequence[int] = ()) -> None:
    """Tune each method and write what was chosen; a study that was cut off goes on.

    Args:
        names: baselines, algorithms, combinations, or ``backbone``; after that one the stage
            ``pretrain`` must run anew.
        trials: per method; default: ``tune.trials``.
        folds: whose validation users decide; default: ``prepare.folds``.

    Raises:
        ParamsError: a name is unknown, has nothing to tune or starts outside its range.
        ArtefactError: the results of ``prepare`` or ``pretrain`` are not here.
        TrainingDiverged: every trial of a method failed.
    """
    params = load_params(layout.PARAMS)
    if BACKBONE in names and len(names) > 1:
        raise ParamsError("tune: the backbone alone; the others start from it once it is refitted")
    targets = [find_target(name, params) for name in names]
    for target in targets:
        _ = target.start  # refused before any work
    torch.set_num_threads(params.threads)
    keep_freed_memory()
    prepared = Prepared.load()
    chosen = tuple(folds) or params.prepare.folds
    for target in targets:
        found = _study(target, params, prepared, trials or params.tune.trials, chosen)
        best = target.section | found.values
        tuned = Tuned(
            trials=found.trials,
            folds=chosen,
            objective=float(f"{found.error:.6g}"),
            study=found.digest[:12],
            values=digest_of(best),
        )
        store(layout.PARAMS, target.group, target.name, found.values, tuned)
        _LOG.info("%s", _summary(target, found))


def parse_folds(text: str | None) -> tuple[int, ...]:
    """The folds of ``"0,1,2"``; none for None.

    Raises:
        ParamsError: not numbers between commas, or one of them twice.
    """
    words = [word.strip() for word in text.split(",")] if text is not None else []
    if not all(word.isdecimal() for word in words) or len(set(words)) < len(words):
        raise ParamsError(f"--folds {text}: write distinct numbers, for instance 0,1,2")
    return tuple(map(int, words))


def _study(
    target: Target, params: Params, prepared: Prepared, trials: int, folds: tuple[int, ...]
) -> Outcome:
    objective = Objective(target, params, prepared, folds)
    folder = environment.home() / "tuning" / f"{target.name}-{_key(target, params, folds)[:16]}"

    def error_of(values: Values, report: Report) -> float:
        return objective(target.at(values), report)

    with _alone(folder, target):
        return run_study(
            folder / "study.db",
            target.space,
            target.start,
            error_of,
            trials=trials,
            seed=params.seed,
            reports_per_fold=objective.reports_per_fold,
            what=f"tune {target.name}",
        )


@contextmanager
def _alone(folder: Path, target: Target) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ColdstartError(f"{target.where}: another process is tuning it; wait for it") from None
    try:
        yield
    finally:
        lock.release()


def _key(target: Target, params: Params, folds: tuple[int, ...]) -> str:
    """Digest of all that an outcome depends on, but the values that are tuned and their number."""
    used: dict[str, Any] = params.model_dump(
        mode="json", include={"seed", "threads", "device", "head", "data", "prepare"}
    )
    used["prepare"].pop("folds")
    used |= {"folds": folds, "target": target.where, "space": target.space}
    used["fixed"] = {k: v for k, v in target.section.items() if k not in target.space}
    inputs = [layout.PREPARED]
    if target.group == "pretrain":
        used["judge"] = params.baselines.get(JUDGE)
    else:
        inputs += [layout.fold_folder(layout.BACKBONE, fold) for fold in folds]
    if target.group in ("algorithms", "combine"):  # what draws training episodes
        training = params.meta_train.model_dump(mode="json", include={"loop", "negatives"})
        used |= training | {"training_seed": params.meta_train.seeds[0]}
    if target.group == "combine":
        inputs += [folder for fold in folds for folder in parts(target, params, fold).values()]
    package = Path(coldstart.__file__).parent
    return digest(used, [*inputs, *(package / name for name in _CODE[target.group])])


def _summary(target: Target, found: Outcome) -> str:
    before = "failed" if found.start is None else f"{found.start:.5f}"
    changes = ", ".join(
        f"{name} {target.section[name]:g} -> {value:g}"
        for name, value in found.values.items()
        if value != target.section[name]
    )
    return (
        f"{target.where}: {found.error:.5f} (before: {before}) after {found.trials} trials, "
        f"{found.pruned} given up, {found.failed} failed; params.yaml: {changes or 'as it was'}"
    )
