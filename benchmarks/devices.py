"""Every algorithm on a real CUDA device: a few steps of meta-training, beside the CPU's.

On made data, so that it needs nothing but the repository. Each algorithm meta-trains twice from the
same start with the same episodes, on the CPU and on the device, with the validation before and
after; then every method adapts, scores, ranks and takes one more rating there. All losses and
scores must agree to ``RTOL``, which float32 sums in another order leave; exits with 1 if not.

    PYTHONPATH=src python benchmarks/devices.py
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from coldstart.algorithms import ALGORITHMS, check_section
from coldstart.baselines import BASELINES
from coldstart.baselines import check_params as check_baselines
from coldstart.combinations._student_list import ListHead
from coldstart.combinations.base import Ingredients
from coldstart.combinations.blend import Blend
from coldstart.combinations.lessons import components
from coldstart.combinations.list import List, ListParams
from coldstart.combinations.student import Student, start
from coldstart.data.choices import Choices
from coldstart.data.episodes import Episodes, EpisodeSampler, History
from coldstart.models.backbone import Backbone
from coldstart.models.backbones import fit_backbone
from coldstart.models.heads import HEADS
from coldstart.models.recommender import Recommender
from coldstart.params import LoopParams, Params, load_params
from coldstart.progress import silent
from coldstart.training.checkpoint import Checkpoints
from coldstart.training.device import usable
from coldstart.training.interrupt import Interrupt
from coldstart.training.loop import meta_train
from coldstart.training.stopping import Validation

USERS, ITEMS, PER_USER, GENRES = 200, 120, 30, 6
STEPS, BATCH, SUPPORT, QUERY = 6, 16, 10, 6
RTOL, ATOL = 1e-3, 1e-3
KINDS = ("mf", "vbpmf", "vbpmf_audience")


class Data(NamedTuple):
    """What every method is fitted on."""

    history: History
    validation: Episodes  # users whose ratings are part of the history: nothing is concluded
    backbones: dict[str, Backbone]


def made(params: Params) -> Data:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    genres_NG = torch.eye(GENRES)[torch.randint(GENRES, (ITEMS,), generator=generator)]
    genres_NG[0] = 0
    factors_N2 = genres_NG @ normal(GENRES, 2) + 0.5 * normal(ITEMS, 2)
    order = [1 + torch.randperm(ITEMS - 1, generator=generator)[:PER_USER] for _ in range(USERS)]
    items_R = torch.cat([row.sort().values for row in order])
    users_R = torch.arange(USERS).repeat_interleave(PER_USER)
    score_R = 3.4 + (factors_N2[items_R] * normal(USERS, 2)[users_R]).sum(1)
    score_R = score_R + 0.4 * normal(len(items_R))
    history = History(
        users_R,
        items_R,
        score_R.round().clamp(1, 5),
        USERS,
        ITEMS,
        torch.randint(0, 2, (USERS, 3), generator=generator).float(),
        genres_NG,
        like=3.5,
    )
    nobody = torch.zeros(USERS, dtype=torch.int64)
    validation = sampler(history, nobody, torch.Generator().manual_seed(1)).sample()
    with silent():
        backbones = {
            kind: fit_backbone(kind, history, validation, params.pretrain, seed=0) for kind in KINDS
        }
    return Data(history, validation, backbones)


def sampler(history: History, group_U: Tensor, generator: torch.Generator) -> EpisodeSampler:
    return EpisodeSampler(
        history,
        batch_size=BATCH,
        query_size=QUERY,
        max_support=SUPPORT,
        group_U=group_U,
        generator=generator,
    )


def losses(learner: Any, data: Data, loop: LoopParams, device: str) -> Tensor:
    """Training and validation losses of a short meta-training."""
    generator = torch.Generator().manual_seed(2)
    episodes = sampler(data.history, learner.backbone.group_U, generator)
    with tempfile.TemporaryDirectory() as folder, silent():
        rows = meta_train(
            learner.to(device),
            episodes,
            generator,
            Validation(data.validation.to(device), (0, 5), batch_size=BATCH),
            loop,
            what=learner.kind,
            checkpoints=Checkpoints(Path(folder)),
            interrupt=Interrupt(),
            device=device,
        ).history
    return torch.tensor([x for row in rows for x in (row.training, row.validation) if x])


def answers(model: Recommender, data: Data, device: str) -> Tensor:
    """All that a method says of users with support, without, and with one more rating."""
    model, episodes = model.to(device), data.validation.to(device)
    found = []
    for k in (0, 5):
        state = model.adapt(episodes.support.first(k))
        found += [model.score(state, episodes.items_BQ).mean, model.score_catalogue(state).mean]
        found.append(model.rank_catalogue(state))
        more = model.update(state, episodes.items_BQ[:, 0], episodes.targets_BQ[:, 0])
        found.append(model.score_catalogue(more).mean)
    assert all(x.device.type == torch.device(device).type for x in found)
    return torch.cat([x.cpu().flatten() for x in found])


def checks(data: Data, params: Params) -> Iterator[tuple[str, Callable[[str], Tensor]]]:
    """What to run on a device, by name."""
    default = data.backbones[params.pretrain.backbone]
    short = {"max_steps": STEPS, "batch_size": BATCH, "eval_every": STEPS, "precision": "float32"}
    loop = params.meta_train.loop.model_copy(update=short)
    untrained: dict[str, Recommender] = {}
    for name, section in check_baselines(params).items():
        backbone = data.backbones[BASELINES[name].reads or default.kind]
        with silent():
            fitted = BASELINES[name].fit(data.history, backbone, data.validation, section, 0)
        untrained[name] = fitted
    for name, kind in ALGORITHMS.items():
        own: Any = check_section(name, params.algorithms[name])
        untrained[name] = learner = kind.create(default, own, HEADS["rating"], seed=0)
        if kind.meta_trained:
            yield (
                f"{name}, trained",
                lambda device, model=learner: losses(model, data, loop, device),  # type: ignore[misc]
            )
    members = {name: untrained[name] for name in ("bayes_head", "vbpmf_implicit", "itemknn")}
    untrained["blend"] = blend = Blend.fit(members, data.validation, shrinkage=0.01)
    found = components(blend, [data.validation.support], factors=4)
    untrained["list"] = of_ten = listing(blend, data, params)
    untrained["student"] = Student(start(found), torch.ones(1), ListHead.of(of_ten))
    for name, model in untrained.items():
        yield name, lambda device, model=model: answers(model, data, device)  # type: ignore[misc]


def listing(blend: Blend, data: Data, params: Params) -> Recommender:
    """The list with the ratings of a blend."""
    section = ListParams.model_validate(params.combine["list"] | {"rating": Blend.kind})
    backbone = data.backbones[params.pretrain.backbone]
    unjudged_BX = data.validation.items_BQ[:, :0]  # nobody is evaluated here
    asked = Choices(data.validation, judged_BX=unjudged_BX)
    ingredients = Ingredients({Blend.kind: blend}, data.history, asked, backbone, params, 0)
    return List.make(section, ingredients)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    options = parser.parse_args()
    device = usable(options.device)
    logging.disable(logging.INFO)
    torch.backends.cuda.matmul.allow_tf32 = False
    params = load_params(options.params)
    failed = []
    for name, run in checks(made(params), params):
        begun = time.perf_counter()
        try:
            here, there = run("cpu"), run(device)
            worst = float(((there - here).abs() / (ATOL + RTOL * here.abs())).max())
            verdict = "ok" if worst <= 1 else "DIFFERS"
        except Exception:  # one method's trouble must not hide the others'
            traceback.print_exc()
            worst, verdict = float("nan"), "FAILED"
        if verdict != "ok":
            failed.append(name)
        seconds = time.perf_counter() - begun
        print(f"{name:24} {verdict:8} {worst:8.4f} of the tolerance {seconds:6.1f} s", flush=True)
    print(f"failed: {', '.join(failed)}" if failed else "all agree")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
