"""Choose a peer's setting on validation users and evaluate it on cold ones, resumably.

Every evaluation of one setting on one fold and role is kept under ``artifacts/peers/trials``, named
by a digest of all that it depends on: data, setting, package, and the code that fits and judges.
What was interrupted goes on where it was; what changed in any of these is fitted anew.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from coldstart import layout
from coldstart.data import spare
from coldstart.data.prepared import FILES, Prepared
from coldstart.errors import ParamsError
from coldstart.evaluation import evaluation_set as sets
from coldstart.evaluation import formulas, protocol
from coldstart.evaluation.metrics import METRICS, Metric
from coldstart.params import Params
from coldstart.progress import progress
from peer_libraries import adapter, feedback
from peer_libraries.adapter import SEED, Peer, Setting, recommender

RESULTS = layout.ARTIFACTS / "peers"
TRIALS = RESULTS / "trials"
OF_RATINGS, OF_LISTS = METRICS["rmse"], METRICS["list_recall@10"]
"""What the settings of a peer are chosen by: the mean over all K on validation users."""


class Context(NamedTuple):
    """What all peers of a run share."""

    prepared: Prepared
    params: Params
    data: str  # digest of everything that results depend on but the peer

    @classmethod
    def of(cls, prepared: Prepared, params: Params, root: Path = layout.PREPARED) -> Context:
        """Digest the files of the prepared data and the code that judges.

        Raises:
            ParamsError: a fold was not prepared.
        """
        for fold in params.prepare.folds:
            if fold not in prepared.folds:
                raise ParamsError(f"fold {fold} is not prepared; run `dvc repro evaluate`")
        digest = hashlib.blake2b(digest_size=12)
        for name in FILES:
            digest.update((root / name).read_bytes())
        for module in (adapter, feedback, protocol, formulas, sets, spare):
            digest.update(inspect.getsource(module).encode())
        asked = (params.data.model_dump(), params.seed, params.evaluate.catalogue_users)
        digest.update(json.dumps(asked, sort_keys=True).encode())
        return cls(prepared, params, digest.hexdigest())


def metric_of(peer: Peer) -> Metric:
    """What its settings are chosen by."""
    return OF_RATINGS if peer.rating else OF_LISTS


def settings_of(peer: Peer, most: int) -> list[Setting]:
    """Random search: the same number for every peer, or all where a space has fewer."""
    every = [dict(zip(peer.space, v, strict=True)) for v in product(*peer.space.values())]
    chosen = np.random.default_rng(SEED).permutation(len(every))[:most]
    return [every[i] for i in sorted(chosen)]


def effective(peer: Peer, context: Context) -> Peer:
    """Without the weight of what is no like where everything is liked, as it is of clicks alone.

    Else most of what is drawn would be the same setting again.
    """
    histories = [context.prepared.history(fold) for fold in context.params.prepare.folds]
    if "below" not in peer.space or not all((h.targets_R > h.like).all() for h in histories):
        return peer
    return peer._replace(space={**peer.space, "below": (1.0,)})


def choose(name: str, peer: Peer, context: Context, most: int) -> dict[str, Any]:
    """Try the settings on validation users, then evaluate the best of each fold on cold users.

    For a fold the validation users of all folds have a say, but for those who are cold in it.
    Writes ``NAME.parquet``, a row per cold user and K, and ``NAME.json``, which is returned.
    """
    settings, folds = settings_of(effective(peer, context), most), context.params.prepare.folds
    cells = list(progress(list(product(range(len(settings)), folds)), f"{name} trials"))
    frames = [
        trial(name, peer, context, fold, "validation", settings[i]).assign(setting=i, fold=fold)
        for i, fold in cells
    ]
    validation, frames = pd.concat(frames, ignore_index=True), []
    chosen = {}
    for fold in folds:
        losses = losses_without(validation, context.prepared.role_users(fold, "cold"), peer)
        best = int(str(losses.idxmin()))
        chosen[fold] = settings[best]
        cold = trial(name, peer, context, fold, "cold", settings[best])
        frames.append(cold.assign(method=name, fold=fold, seed=0, role="cold"))
    pooled = losses_without(validation, np.zeros(0, dtype=np.int64), peer)
    record = {
        "title": peer.title,
        "package": "closed form" if peer.package is None else f"{peer.package} {_version(peer)}",
        "rating": peer.rating,
        "metric": metric_of(peer).name,
        "chosen": {str(fold): setting for fold, setting in chosen.items()},
        "trials": [
            {"setting": setting, "value": round(_value(peer, float(pooled[i])), 6)}
            for i, setting in enumerate(settings)
        ],
        "data": context.data,
        "folds": list(folds),
    }
    users = pd.concat(frames, ignore_index=True)
    _write(RESULTS / f"{name}.parquet", users)
    text = json.dumps(record, indent=1, sort_keys=True)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return record


def losses_without(validation: pd.DataFrame, cold: Any, peer: Peer) -> pd.Series:
    """The mean of each setting over all K and the users who are not ``cold``, less is better."""
    kept = validation[~validation["user"].isin(cold)]
    metric = metric_of(peer)
    return -metric.sign * kept.groupby("setting")[metric.per_user_column].mean()


def _value(peer: Peer, loss: float) -> float:
    metric = metric_of(peer)
    return float(metric.finish(np.array(-metric.sign * loss)))


def trial(
    name: str, peer: Peer, context: Context, fold: int, role: sets.Role, setting: Setting
) -> pd.DataFrame:
    """Per-user results and ``coverage``, the same for all users of a K; kept once computed."""
    path = TRIALS / name / f"{_key(peer, context, fold, role, setting)}.parquet"
    if path.is_file():
        return pd.read_parquet(path)
    target = sets.evaluation_set(context.prepared, context.params, fold, role)
    target = target.rows(target.ranked_B.nonzero()[:, 0]) if not peer.rating else target
    model = recommender(peer, context.prepared, fold, setting)
    lists = role == "cold" or not peer.rating
    found = protocol.evaluate(model, target, context.prepared.shots, catalogue=lists)
    users = found.users.assign(coverage=found.users["k"].map(found.coverage).astype(float))
    if not peer.rating:
        users = users.drop(columns=["mse", "mae"], errors="ignore")
    _write(path, users)
    return users


def _key(peer: Peer, context: Context, fold: int, role: str, setting: Setting) -> str:
    code = inspect.getsource(inspect.getmodule(peer.fit))  # type: ignore[arg-type]
    parts = (context.data, _version(peer), code, fold, role, sorted(setting.items()))
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()


def _version(peer: Peer) -> str:
    return "" if peer.package is None else version(peer.package)


def _write(path: Path, users: pd.DataFrame) -> None:
    """At once or not at all: a killed run leaves no half of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    users.to_parquet(part, index=False)
    part.replace(path)
