"""Training goes where theory says: to the prior and the offsets that made the data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from coldstart.algorithms import ALGORITHMS, check_section
from coldstart.algorithms._base import MetaLearner
from coldstart.data.episodes import Episodes, Support
from coldstart.models.backbone import Backbone
from coldstart.models.heads import HEADS
from coldstart.params import LoopParams, read_yaml
from coldstart.training.checkpoint import Checkpoints
from coldstart.training.interrupt import Interrupt
from coldstart.training.loop import Trained, meta_train
from coldstart.training.stopping import Validation

SECTIONS = read_yaml(Path(__file__).parents[2] / "params.yaml")["algorithms"]
N_ITEMS, D, S, Q = 200, 4, 6, 6
NOISE, SPREAD = 0.5, 0.4  # of a rating, of a user's weight; standard deviations
SHOTS = (1, 3, 6)
LOOP = LoopParams(
    max_steps=200,
    batch_size=64,
    accumulate=1,
    precision="float32",
    query_size=Q,
    max_support=S,
    eval_every=20,
    patience=10,
    clip_norm=10.0,
    checkpoint_every=1000,
)


def world(ratio: float = (SPREAD / NOISE) ** 2, noise: float = NOISE) -> Backbone:
    """Items whose features and offsets are known exactly; all users have the prior mean 0.

    Args:
        ratio: believed variance of a weight over that of the noise.
        noise: believed standard deviation of the noise.
    """
    generator = torch.Generator().manual_seed(11)
    features_ND = torch.randn(N_ITEMS, D, generator=generator)
    features_ND[:, 0] = 1.0
    return Backbone(
        kind="mf",
        features_CND=features_ND[None],
        offset_CN=3 + 0.5 * torch.randn(1, N_ITEMS, generator=generator),
        count_CN=torch.full((1, N_ITEMS), 50.0),
        prior_FD=torch.zeros(1, D),
        group_U=torch.zeros(0, dtype=torch.int64),
        side_NG=torch.zeros(N_ITEMS, 0),
        prior_DD=ratio * noise**2 * torch.eye(D),
        noise=torch.tensor(noise**2),
        choice_JD=torch.zeros(D + 1, D),
        choice_damping=torch.ones(()),
        like=torch.tensor(3.5),
    )


class Users:
    """Draws users whose ratings are ``offset + features . w + noise`` with normal ``w``."""

    def __init__(self, backbone: Backbone, n_users: int, generator: torch.Generator) -> None:
        self.backbone, self.n_users, self.generator = backbone, n_users, generator

    def sample(self) -> Episodes:
        B, table_ND = self.n_users, self.backbone.features_CND[0]
        items_BT = torch.rand(B, N_ITEMS - 1, generator=self.generator).argsort(1)[:, : S + Q] + 1
        w_BD1 = SPREAD * torch.randn(B, D, 1, generator=self.generator)
        error_BT = NOISE * torch.randn(B, S + Q, generator=self.generator)
        signal_BT = (table_ND[items_BT] @ w_BD1).squeeze(-1)
        targets_BT = self.backbone.offset_CN[0, items_BT] + signal_BT + error_BT
        mask_BT = torch.ones(B, S + Q, dtype=torch.bool)
        # of each user a random number of ratings is known, as in training on real data
        known_B1 = torch.randint(0, S + 1, (B, 1), generator=self.generator)
        support = Support(
            items_BS=items_BT[:, :S],
            targets_BS=targets_BT[:, :S],
            mask_BS=torch.arange(S) < known_B1,
            users_BF=torch.zeros(B, 1),
            crossfit_B=torch.zeros(B, dtype=torch.int64),
        )
        return Episodes(
            support, items_BT[:, S:], targets_BT[:, S:], mask_BT[:, S:], torch.arange(B)
        )


def validation(backbone: Backbone) -> Validation:
    drawn = Users(backbone, 2000, torch.Generator().manual_seed(5)).sample()
    full = drawn.support._replace(mask_BS=torch.ones_like(drawn.support.mask_BS))
    return Validation(drawn._replace(support=full), SHOTS, 64)


def learner(backbone: Backbone, name: str, **changed: Any) -> MetaLearner[Any]:
    params: Any = check_section(name, SECTIONS[name] | changed)
    return ALGORITHMS[name].create(backbone, params, HEADS["rating"], seed=0)


def train(start: MetaLearner[Any], folder: Path, users: Backbone | None = None) -> Trained:
    """On users of the world of ``users``, by default the one that the learner believes in."""
    generator, real = torch.Generator().manual_seed(3), users or start.backbone
    return meta_train(
        start,
        Users(real, LOOP.batch_size, generator),
        generator,
        validation(real),
        LOOP,
        what="convergence",
        checkpoints=Checkpoints(folder),
        interrupt=Interrupt(),
    )


@pytest.mark.parametrize(
    ("ratio", "noise"),
    [(100.0, NOISE), (0.05, NOISE), (10.0, 3.0)],
    ids=["prior far too wide", "prior far too narrow", "prior and noise far too wide"],
)
def test_a_wrong_prior_is_trained_into_the_one_that_made_the_users(
    tmp_path: Path, ratio: float, noise: float
) -> None:
    """Under the true prior and noise the posterior mean has the least squared error there is."""
    backbone = world()
    best = validation(backbone).loss(learner(backbone, "bayes_head"))
    trained = train(learner(world(ratio, noise), "bayes_head", outer_rate=0.05), tmp_path)
    losses = [row.validation for row in trained.history]
    assert losses[0] > 1.1 * best, "the start must be wrong enough to show training"
    assert best * 0.995 < min(losses) < best + 0.03 * (losses[0] - best)
    assert validation(backbone).loss(trained.learner) == min(losses)


def test_an_offset_that_is_wrong_for_everybody_is_learnt(tmp_path: Path) -> None:
    """Half a point too much for all items: whoever starts from the right table shows the way."""
    right = world()
    best = validation(right).loss(learner(right, "maml"))
    wrong = replace(right, offset_CN=right.offset_CN + 0.5)
    start = learner(wrong, "maml", outer_rate=0.003)
    trained = train(start, tmp_path, users=right)
    losses = [row.validation for row in trained.history]
    assert losses[0] > 1.05 * best
    assert min(losses) < best + 0.1 * (losses[0] - best)
    assert validation(right).loss(trained.learner) == min(losses)
