"""Stage ``evaluate``: bundles and episodes -> per-user metrics, tables of results, plot data."""

from __future__ import annotations

from coldstart import layout
from coldstart.data.prepared import Prepared
from coldstart.evaluation.experiment import run_experiment
from coldstart.evaluation.tables import write_results
from coldstart.params import load_params


def run() -> None:
    """Evaluate every method and write ``artifacts/evaluation``, ``plots`` and ``metrics.json``.

    Raises:
        EvaluationError: a canary did better than it can; nothing is written.
        ArtefactError: a bundle is missing or altered.
    """
    import torch

    params = load_params(layout.PARAMS)
    torch.set_num_threads(params.threads)
    prepared = Prepared.load(layout.PREPARED)
    write_results(run_experiment(prepared, params), prepared.summary, params)
