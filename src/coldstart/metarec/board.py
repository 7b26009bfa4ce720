"""``protocol: metarec``: every method of ``params.yaml`` under the protocol of RecBole-MetaRec.

The methods are those of the pipeline, with the numbers that were chosen under our own protocol.
What comes out is shown and not kept: it is no output of a stage, so no gate can read it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from coldstart import layout
from coldstart.algorithms import ALGORITHMS
from coldstart.algorithms import check_params as check_algorithms
from coldstart.baselines import check_params as check_baselines
from coldstart.baselines._fitting import fit_backbones, fit_baselines
from coldstart.data.sources import read_source
from coldstart.data.spare import spare_episodes
from coldstart.data.tables import prepare_source
from coldstart.metarec import protocol
from coldstart.metarec.protocol import COLUMNS, FOLD, PUBLISHED, LegacySplit, Mode
from coldstart.models.backbone import Backbone
from coldstart.models.heads import HEADS
from coldstart.models.recommender import Recommender
from coldstart.params import Params
from coldstart.progress import progress, silent
from coldstart.training.checkpoint import Checkpoints
from coldstart.training.device import usable
from coldstart.training.fold import train
from coldstart.training.interrupt import Interrupt

LABEL = "Legacy protocol of RecBole-MetaRec"


def legacy_rows(params: Params, splits: int = protocol.SPLITS) -> pd.DataFrame:
    """A row per mode, split and method: ``dataset, mode, split, method, users`` and ``COLUMNS``.

    Raises:
        DataError: the dataset cannot be read.
        ParamsError: a section of a method is refused.
    """
    name = params.data.name
    source = protocol.eligible(read_source(layout.DATA / name, name))
    # only the tables and features of it are used, but for the cut in time of a temporal split
    prepare = params.prepare.model_copy(update={"split": "random", "order": "random"})
    runs = []
    for mode in protocol.MODES:
        own = params.model_copy(update={"head": mode, "prepare": prepare})
        prepared = prepare_source(source, own.data, own.prepare, seed=own.seed, head=mode)
        runs += [(mode, own, prepared, seed) for seed in range(splits)]
    rows: list[dict[str, Any]] = []
    for mode, own, prepared, seed in progress(runs, "legacy splits"):
        data = protocol.split(prepared, seed)
        with silent():
            models = fitted(data, own)
        rows += evaluated(models, data, mode, own.data.scale.like, seed)
    return pd.DataFrame(rows).assign(dataset=name)


def fitted(data: LegacySplit, params: Params) -> dict[str, Recommender]:
    """Our methods, learnt from the training users, stopped early by the validation users."""
    history, validation = data.history(FOLD), data.eval_episodes(FOLD, "validation")
    baselines, algorithms = tuple(check_baselines(params)), check_algorithms(params)
    backbones = fit_backbones(history, validation, params, baselines)
    models = dict(fit_baselines(history, validation, params, backbones, baselines))
    widest = (validation.support.items_BS.shape[1],)
    prepare = params.prepare.model_copy(update={"shots": widest})
    params = params.model_copy(update={"prepare": prepare})
    backbone = backbones[params.pretrain.backbone]
    for name in params.meta_train.algorithms:
        models[name] = _trained(name, algorithms[name], backbone, data, params)
    return models


def _trained(
    name: str, section: Any, backbone: Backbone, data: LegacySplit, params: Params
) -> Recommender:
    seed = params.meta_train.seeds[0]
    learner = ALGORITHMS[name].create(backbone, section, HEADS[params.head], seed)
    learner = learner.to(usable(params.device))
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder))
        history, validation = data.history(FOLD), spare_episodes(data, FOLD)
        trained = train(learner, params, history, validation, seed, checkpoints, Interrupt())
    return trained.learner.to("cpu")


@torch.no_grad()
def evaluated(
    models: dict[str, Recommender], data: LegacySplit, mode: Mode, like: float, seed: int
) -> list[dict[str, Any]]:
    """A row per method: the metrics on the test users of one split."""
    episodes = data.eval_episodes(FOLD, "cold")
    ratings_BQ = data.query_ratings(episodes.users_B)
    generator = torch.Generator().manual_seed(seed)
    ties, borders = torch.randint(2**31, (2, *ratings_BQ.shape), generator=generator)
    wanted_BQ = protocol.positives(ratings_BQ, mode, like, borders)
    rows = []
    for name, model in models.items():
        scores_BQ = model.score(model.adapt(episodes.support), episodes.items_BQ).mean
        rows.append(
            {"mode": mode, "split": seed, "method": name, "users": episodes.n_users}
            | protocol.query_metrics(scores_BQ, wanted_BQ, ties)
        )
    return rows


def tables(rows: pd.DataFrame) -> Group:
    """A table per mode: mean and standard deviation over the splits, then what was published."""
    parts: list[Table | str] = []
    for mode in rows["mode"].drop_duplicates():
        of_mode = rows[rows["mode"] == mode]
        table = Table(title=f"{LABEL}, {mode} mode", title_justify="left", box=SIMPLE_HEAD)
        for column in ("method", *COLUMNS):
            table.add_column(column, justify="left" if column == "method" else "right")
        for name in of_mode["method"].drop_duplicates():
            found = of_mode[of_mode["method"] == name]
            table.add_row(str(name), *(_cell(found[column].tolist()) for column in COLUMNS))
        if rows["dataset"].iloc[0] == protocol.PUBLISHED_ON:
            for name, values in PUBLISHED[mode].items():
                table.add_row(f"{name}, published", *(f"{value:.3f}" for value in values))
        parts.append(table)
    first = rows.iloc[0]
    parts.append(
        f"{first['dataset']}, {rows['split'].nunique()} splits of {first['users']} test users; "
        "higher is better; ±: standard deviation over splits\n"
        "Legacy: for comparison with what was published, never for a promotion"
    )
    return Group(*parts)


def _cell(values: Sequence[float]) -> str:
    series = pd.Series(values)
    return f"{series.mean():.3f}" + (f" ± {series.std():.3f}" if len(series) > 1 else "")
