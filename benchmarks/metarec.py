"""The legacy protocol of RecBole-MetaRec, with what its board leaves out: how well nothing does.

    python benchmarks/metarec.py            # a table per mode; --json for machines

As published (its MovieLens-100K.md and MetaCollector.py): users with 13 to 100 ratings, 8:1:1 of
them to train, validate and test; of a test user 10 random ratings are the query, all others the
support; Precision, Recall, Hit, NDCG and MRR at 5 of the query's ranking. In click mode targets are
likes (rating >= 4), and the likes of the query are what is to be found. In rating mode targets are
ratings, and the five highest rated items of the query are: always five of ten, so that precision
equals recall, a hit is certain, and random has .5.

Where we differ, on purpose: equal scores, and equal ratings on the border of the five, are ordered
at random, by the same draws for every method; 20 splits instead of one, since one has 58 test
users. A user without a like counts 0, as in RecBole. Our methods use params.yaml as it is, which
was chosen under our own protocol.

Shapes: B users, S support, Q query, N items, T the top of a ranking.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from coldstart.algorithms import ALGORITHMS
from coldstart.algorithms import check_params as algorithm_params
from coldstart.baselines import BASELINES
from coldstart.baselines import check_params as baseline_params
from coldstart.data.episodes import Episodes, Support
from coldstart.data.prepared import Prepared
from coldstart.data.sources import Source, read_source
from coldstart.data.tables import prepare_source
from coldstart.evaluation import metrics
from coldstart.models.backbones import fit_backbone
from coldstart.models.heads import HEADS
from coldstart.models.recommender import Recommender
from coldstart.params import Params, load_params
from coldstart.training.checkpoint import Checkpoints
from coldstart.training.fold import train_fold
from coldstart.training.interrupt import on_sigterm

FEWEST, MOST, QUERY, TOP = 13, 100, 10, 5
FOLD = 0
METHODS = ("random", "constant", "item_mean", "bias", "ridge", "bayes_head")
COLUMNS = ("P@5", "R@5", "HR@5", "nDCG@5", "MRR@5")
MODES = {"click": "click", "rating": "rating"}  # and the head that learns it
PUBLISHED = {  # RecBole-MetaRec, asset/result/MovieLens-100K.md, in the order of COLUMNS
    "click": {
        "LWA": (0.5655, 0.4767, 0.9138, 0.5736, 0.6713),
        "NLBA": (0.5655, 0.4767, 0.9138, 0.5719, 0.6626),
        "MetaEmb": (0.6517, 0.5795, 0.9655, 0.7070, 0.8305),
        "MWUF": (0.6517, 0.5535, 0.9483, 0.7139, 0.8391),
    },
    "rating": {
        "MeLU": (0.5345, 0.5345, 1.0, 0.5331, 0.7359),
        "MAMO": (0.6103, 0.6103, 1.0, 0.5929, 0.7144),
        "TaNP": (0.5806, 0.5806, 1.0, 0.5994, 0.8070),
    },
}


@dataclass(frozen=True)
class LegacySplit(Prepared):
    """Prepared data whose users have supports of different sizes, padded to the largest."""

    def eval_episodes(self, fold: int, role: Literal["validation", "cold"]) -> Episodes:
        """As in the pipeline, but for the padding."""
        table = self.episodes[self.episodes["user"].isin(self.role_users(fold, role))]
        users_B = torch.from_numpy(np.unique(table["user"].to_numpy(dtype="int64")))
        items_BQ, targets_BQ, mask_BQ = _padded(table[table["part"] == "query"], users_B)
        items_BS, targets_BS, mask_BS = _padded(table[table["part"] == "support"], users_B)
        support = Support(
            items_BS, targets_BS, mask_BS, self.user_features_UF[users_B], torch.zeros_like(users_B)
        )
        return Episodes(support, items_BQ, targets_BQ, mask_BQ, users_B)


def _padded(table: pd.DataFrame, users_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    shape = (len(users_B), int(table["position"].max()) + 1)
    row = torch.searchsorted(users_B, torch.tensor(table["user"].to_numpy(dtype="int64")))
    cell = (row, torch.tensor(table["position"].to_numpy(dtype="int64")))
    items, targets, mask = torch.zeros(shape).long(), torch.zeros(shape), torch.zeros(shape).bool()
    items[cell] = torch.tensor(table["item"].to_numpy(dtype="int64"))
    targets[cell] = torch.tensor(table["target"].to_numpy(dtype="float32"))
    mask[cell] = True
    return items, targets, mask


def eligible(source: Source) -> Source:
    """Only the users with 13 to 100 ratings."""
    counts = source.ratings.groupby("user_id")["item_id"].transform("size")
    return replace(source, ratings=source.ratings[counts.between(FEWEST, MOST)])


def split(prepared: Prepared, seed: int) -> LegacySplit:
    """8:1:1 of the users; 10 random ratings of each are the query and the rest the support."""
    rng = np.random.default_rng(seed)
    n_users = prepared.n_users
    tenth = n_users // 10
    role_U = np.full(n_users, "historical", dtype=object)
    order_U = rng.permutation(n_users)
    role_U[order_U[:tenth]] = "cold"
    role_U[order_U[tenth : 2 * tenth]] = "validation"
    table = prepared.ratings.iloc[rng.permutation(len(prepared.ratings))]
    position = table.groupby("user").cumcount()
    query = position < QUERY
    episodes = table.assign(
        part=np.where(query, "query", "support"), position=position.where(query, position - QUERY)
    )
    parts = {field.name: getattr(prepared, field.name) for field in fields(Prepared)}
    roles = pd.DataFrame({"fold": FOLD, "user": np.arange(n_users), "role": role_U})
    return LegacySplit(**{**parts, "split": roles, "episodes": episodes})


def positives(ratings_BQ: Tensor, mode: str, like: float, ties_BQ: Tensor) -> Tensor:
    """What is to be found in the query: bool ``[B, Q]``."""
    if mode == "click":
        return ratings_BQ >= like
    best_BT = metrics.ranking_keys(ratings_BQ, ties_BQ).topk(TOP, dim=1).indices
    return torch.zeros_like(ratings_BQ, dtype=torch.bool).scatter_(1, best_BT, True)


def query_metrics(scores_BQ: Tensor, wanted_BQ: Tensor, ties_BQ: Tensor) -> dict[str, float]:
    """Means over users; a user without anything to find counts 0."""
    best_BT = metrics.ranking_keys(scores_BQ, ties_BQ).topk(TOP, dim=1).indices
    hits_BT, n_B = wanted_BQ.gather(1, best_BT), wanted_BQ.sum(1)
    values = (
        hits_BT.double().mean(1),
        metrics.recall(hits_BT, n_B),
        hits_BT.any(1).double(),
        metrics.binary_ndcg(hits_BT, n_B),
        metrics.reciprocal_rank(hits_BT, n_B),
    )
    means = [float(value_B.nan_to_num(0.0).mean()) for value_B in values]
    return dict(zip(COLUMNS, means, strict=True))


def fitted(names: tuple[str, ...], data: LegacySplit, params: Params) -> dict[str, Recommender]:
    """Our methods, learnt from the training users, stopped early by the validation users."""
    history, validation = data.history(FOLD), data.eval_episodes(FOLD, "validation")
    chosen = params.pretrain.backbone
    kinds = {chosen} | {BASELINES[name].reads or chosen for name in names if name in BASELINES}
    backbones = {
        kind: fit_backbone(kind, history, validation, params.pretrain, params.seed)
        for kind in kinds
    }
    baselines, algorithms = baseline_params(params), algorithm_params(params)
    widest = (validation.support.items_BS.shape[1],)
    params = params.model_copy(
        update={"prepare": params.prepare.model_copy(update={"shots": widest})}
    )
    models: dict[str, Recommender] = {}
    for name in names:
        if name in BASELINES:
            backbone = backbones[BASELINES[name].reads or chosen]
            models[name] = BASELINES[name].fit(
                history, backbone, validation, baselines[name], params.seed
            )
            continue
        learner = ALGORITHMS[name].create(
            backbones[chosen], algorithms[name], HEADS[params.head], params.seed
        )
        with tempfile.TemporaryDirectory() as folder, on_sigterm() as interrupt:
            checkpoints = Checkpoints(Path(folder))
            models[name] = train_fold(
                learner, params, data, FOLD, params.seed, checkpoints, interrupt
            ).learner
    return models


@torch.no_grad()
def evaluated(
    models: dict[str, Recommender], data: LegacySplit, mode: str, like: float, seed: int
) -> list[dict[str, Any]]:
    """A row per method: the metrics on the test users of one split."""
    episodes = data.eval_episodes(FOLD, "cold")
    query = data.episodes[data.episodes["part"] == "query"]
    query = query[query["user"].isin(episodes.users_B.tolist())]
    ratings_BQ = _padded(query.assign(target=query["rating"]), episodes.users_B)[1]
    generator = torch.Generator().manual_seed(seed)
    ties, borders = torch.randint(2**31, (2, *ratings_BQ.shape), generator=generator)
    wanted_BQ = positives(ratings_BQ, mode, like, borders)
    rows = []
    for name, model in models.items():
        scores_BQ = model.score(model.adapt(episodes.support), episodes.items_BQ).mean
        rows.append(
            {"mode": mode, "method": name, "split": seed, "users": episodes.n_users}
            | query_metrics(scores_BQ, wanted_BQ, ties)
        )
    return rows


def run(names: tuple[str, ...], splits: int, params: Params) -> pd.DataFrame:
    """All modes and splits."""
    source = eligible(read_source(Path("data") / params.data.name, params.data.name))
    rows = []
    for mode, head in MODES.items():
        own = params.model_copy(update={"head": head})
        prepared = prepare_source(source, own.data, own.prepare, seed=own.seed, head=own.head)
        for seed in range(splits):
            data = split(prepared, seed)
            rows += evaluated(fitted(names, data, own), data, mode, own.data.like, seed)
    return pd.DataFrame(rows)


def markdown(rows: pd.DataFrame) -> str:
    """Mean and standard deviation over the splits; the published rows are of one split."""
    lines = []
    for mode, of_mode in rows.groupby("mode", sort=False):
        lines += [f"| {mode} | " + " | ".join(COLUMNS) + " |", "|---|" + "--:|" * len(COLUMNS)]
        for name, found in of_mode.groupby("method", sort=False):
            cells = [f"{found[c].mean():.3f} ± {found[c].std():.3f}" for c in COLUMNS]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        for name, values in PUBLISHED[str(mode)].items():
            lines.append(f"| {name}, published | " + " | ".join(f"{v:.3f}" for v in values) + " |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=METHODS, help="baselines and algorithms")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print one JSON array and no table")
    options = parser.parse_args()
    params = load_params()
    torch.set_num_threads(params.threads)
    rows = run(tuple(options.methods), options.splits, params)
    print(rows.to_json(orient="records") if options.json else markdown(rows))


if __name__ == "__main__":
    main()
