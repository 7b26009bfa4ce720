"""By which members does the blend gain? Candidates beside a base, on validation users.

    python benchmarks/blend_members.py         # of all that the last run fitted
    python benchmarks/blend_members.py --candidates cnp multitask cnp+multitask

A user's squared error after K ratings is the mean of two: over the ratings that fitting reads, with
weights fitted on the other users (``PARTS`` parts), and over the evaluated query, with weights
fitted on all; then the mean over seeds and over the folds in which the user validates. Shown is
RMSE with the candidate minus without, and its standard error over users. One passes that gains more
than two standard errors at some K and loses more than one at none
(docs/decisions/0054-members-of-the-blend.md).

Legend: B users, Q query, K support sizes, M members.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from coldstart import layout
from coldstart.baselines import BASELINES
from coldstart.combinations.blend import error_moments, over_neighbours, simplex_weights
from coldstart.data.episodes import Episodes
from coldstart.data.prepared import Prepared
from coldstart.data.spare import spare_episodes
from coldstart.errors import ParamsError
from coldstart.evaluation.evaluation_set import evaluation_set
from coldstart.methods import CANARIES, bundle_folder, load_method
from coldstart.params import Params, load_params
from coldstart.progress import progress

BASE = ("bayes_head", "vbpmf_implicit", "ridge")
PARTS = 5


@dataclass(frozen=True)
class Judged:
    """Validation users of a fold, and what every method of a training seed predicts for them."""

    spare: Episodes
    query: Episodes
    range: tuple[float, float]  # of targets
    on_spare: dict[str, Tensor]  # [K, B, Q], K = 0, 1, ... up to the pool
    on_query: dict[str, Tensor]

    def errors(self, members: Sequence[str], shots: Sequence[int], shrinkage: float) -> Tensor:
        """Squared errors of a blend, ``[shots, B]``, of the users who have ratings to spare."""
        spare_KMBQ = torch.stack([self.on_spare[name] for name in members], 1)
        query_KMBQ = torch.stack([self.on_query[name] for name in members], 1)
        part_B = torch.from_numpy(
            np.random.default_rng(0).permutation(len(self.spare.users_B)) % PARTS
        )
        found = torch.zeros(len(shots), len(part_B)).double()
        for part in range(PARTS):
            mine_B = part_B == part
            weights_KM = self._weights(spare_KMBQ, ~mine_B, shrinkage)[list(shots)]
            scored = spare_KMBQ[list(shots)][:, :, mine_B], self.spare.rows(mine_B)
            found[:, mine_B] = self._errors(weights_KM, *scored)
        everybody_B = torch.ones_like(part_B, dtype=torch.bool)
        weights_KM = self._weights(spare_KMBQ, everybody_B, shrinkage)[list(shots)]
        known_B = torch.isin(self.query.users_B, self.spare.users_B)
        scored = query_KMBQ[list(shots)][:, :, known_B], self.query.rows(known_B)
        return (found + self._errors(weights_KM, *scored)) / 2

    def _weights(self, predictions_KMBQ: Tensor, rows_B: Tensor, shrinkage: float) -> Tensor:
        episodes = self.spare.rows(rows_B)
        moments = [error_moments(each_MBQ[:, rows_B], episodes) for each_MBQ in predictions_KMBQ]
        return simplex_weights(over_neighbours(torch.stack(moments)), shrinkage).float()

    def _errors(self, weights_KM: Tensor, predictions_KMBQ: Tensor, episodes: Episodes) -> Tensor:
        mean_KBQ = torch.einsum("kmbq,km->kbq", predictions_KMBQ, weights_KM).clamp(*self.range)
        error_KBQ = (mean_KBQ - episodes.targets_BQ).double().square() * episodes.mask_BQ
        return error_KBQ.sum(-1) / episodes.mask_BQ.sum(-1)


def judged(
    prepared: Prepared, params: Params, names: Iterable[str], fold: int, seed: int
) -> Judged:
    """What there is to read of a fold and seed."""
    target = evaluation_set(prepared, params, fold, "validation")
    spare, query = spare_episodes(prepared, fold), target.episodes
    on_spare: dict[str, Tensor] = {}
    on_query: dict[str, Tensor] = {}
    for name in names:
        method = load_method(bundle_folder(name, fold, 0 if name in BASELINES else seed))
        for episodes, into in ((spare, on_spare), (query, on_query)):
            sizes = range(episodes.support.items_BS.shape[1] + 1)
            supports = map(episodes.support.first, sizes)
            means = [method.score(method.adapt(s), episodes.items_BQ).mean for s in supports]
            into[name] = torch.stack(means)
    low, high = target.unit.inside(torch.tensor(target.scale)).tolist()
    return Judged(spare, query, (low, high), on_spare, on_query)


def user_errors(cases: list[Judged], members: Sequence[str], params: Params) -> pd.DataFrame:
    """Mean squared error of a blend: a row for each user, a column for each K."""
    shots, shrinkage = params.prepare.shots, params.combine["blend"]["shrinkage"]
    frames = [
        pd.DataFrame(case.errors(members, shots, shrinkage).numpy().T, columns=list(shots)).assign(
            user=case.spare.users_B.numpy()
        )
        for case in cases
    ]
    return pd.concat(frames).groupby("user").mean()


def difference(with_it: pd.DataFrame, without: pd.DataFrame) -> pd.DataFrame:
    """RMSE with minus without, to first order, and its standard error: a row for each K."""
    steps = (with_it - without) / (2 * without.mean() ** 0.5)
    return pd.DataFrame({"mean": steps.mean(), "error": steps.std() / len(steps) ** 0.5})


def passes(found: pd.DataFrame) -> bool:
    """Gains more than two standard errors at some K and loses more than one at none."""
    in_errors = found["mean"] / found["error"]
    return bool((in_errors < -2).any() and (in_errors <= 1).all())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", nargs="+", default=list(BASE), metavar="METHOD")
    parser.add_argument("--candidates", nargs="+", metavar="METHOD[+METHOD]", help="default: all")
    options = parser.parse_args()
    params = load_params()
    torch.set_num_threads(params.threads)
    everything = [*params.baselines, *params.meta_train.algorithms]
    rest = [name for name in everything if name not in (*options.base, *CANARIES)]
    candidates = [each.split("+") for each in options.candidates or rest]
    names = {*options.base, *(name for each in candidates for name in each)}
    if unknown := sorted(names - set(everything)):
        raise ParamsError(f"{', '.join(unknown)}: not among the methods of params.yaml")
    prepared = Prepared.load(layout.PREPARED)
    read = partial(judged, prepared, params, sorted(names))
    pairs = [(fold, seed) for fold in params.prepare.folds for seed in params.meta_train.seeds]
    with torch.no_grad():
        cases = [read(fold, seed) for fold, seed in progress(pairs, "predictions")]
        without = user_errors(cases, options.base, params)
        print(f"| {len(without)} users | " + " | ".join(f"K={k}" for k in without) + " | |")
        print("|---|" + "--:|" * len(without.columns) + "---|")
        for each in candidates:
            found = difference(user_errors(cases, [*options.base, *each], params), without)
            cells = [f"{row['mean']:+.4f} ± {row['error']:.4f}" for _, row in found.iterrows()]
            print(
                f"| {'+'.join(each)} | {' | '.join(cells)} | {'passes' if passes(found) else ''} |"
            )


if __name__ == "__main__":
    main()
