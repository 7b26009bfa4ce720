"""A random backbone, random episodes, and every algorithm with its section of params.yaml."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from coldstart.algorithms import ALGORITHMS, check_section
from coldstart.algorithms._base import MetaLearner
from coldstart.data.episodes import Episodes, Support
from coldstart.models.backbone import Backbone
from coldstart.models.heads import HEADS
from coldstart.params import read_yaml

N_ITEMS, D, F, C, E = 40, 5, 3, 3, 4
INNER = {"hidden": 64, "inner_steps": 5, "inner_rate": 0.1, "shrinkage": 10.0}
"""In place of the tuned values, since tests compare these methods with each other."""
SECTIONS: dict[str, Any] = read_yaml(Path(__file__).parents[2] / "params.yaml")["algorithms"]
for _name in ("maml", "fomaml", "anil", "meta_sgd", "mlr", "reptile", "meta_lstm", "finetune"):
    SECTIONS[_name] |= INNER

Make = Callable[..., MetaLearner[Any]]


def random_backbone(dtype: torch.dtype = torch.float32, n_features: int = F) -> Backbone:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    features_CND = 0.5 * normal(C, N_ITEMS, D)
    features_CND[..., 0] = 1.0
    root_NDD = 0.1 * normal(N_ITEMS, D, D)
    return Backbone(
        kind="mf",
        features_CND=features_CND,
        offset_CN=3.5 + 0.3 * normal(C, N_ITEMS),
        count_CN=torch.randint(0, 30, (C, N_ITEMS), generator=generator).to(dtype),
        prior_FD=0.2 * normal(n_features, D),
        group_U=torch.randint(0, C, (20,), generator=generator),
        side_NG=normal(N_ITEMS, 4),
        prior_DD=0.3 * torch.eye(D, dtype=dtype),
        noise=torch.tensor(0.8, dtype=dtype),
        choice_JD=0.1 * normal(D + 1 + 4, D),
        choice_damping=torch.tensor(3.0, dtype=dtype),
        like=torch.tensor(3.5, dtype=dtype),
        covariance_NDD=root_NDD @ root_NDD.mT,
        exposed_CN=torch.rand(C, N_ITEMS, generator=generator).to(dtype),
        exposure_CNE=0.1 * normal(C, N_ITEMS, E),
        exposure_CFE=0.2 * normal(1, n_features, E),
        exposure_noise=torch.tensor(0.4, dtype=dtype),
    )


def random_episodes(
    n_users: int = 6,
    support: int = 5,
    query: int = 4,
    dtype: torch.dtype = torch.float32,
    n_features: int = F,
    seed: int = 1,
) -> Episodes:
    """Support sizes differ by user; the first user has none."""
    generator = torch.Generator().manual_seed(seed)
    size_B1 = torch.arange(n_users)[:, None] % (support + 1)
    mask_BS = torch.arange(support) < size_B1

    def items(width: int) -> torch.Tensor:
        return torch.randint(1, N_ITEMS, (n_users, width), generator=generator)

    def targets(width: int) -> torch.Tensor:
        return torch.randint(1, 6, (n_users, width), generator=generator).to(dtype)

    return Episodes(
        Support(
            items(support) * mask_BS,
            targets(support) * mask_BS,
            mask_BS,
            torch.rand(n_users, n_features, generator=generator).to(dtype),
            torch.randint(0, C, (n_users,), generator=generator),
        ),
        items(query),
        targets(query),
        torch.ones(n_users, query, dtype=torch.bool),
        torch.arange(n_users),
    )


def with_likes(episodes: Episodes) -> Episodes:
    """The same, with the targets of the click-through head: 1 from a rating of 4 on, else 0."""

    def likes(targets: torch.Tensor) -> torch.Tensor:
        return (targets >= 4).to(targets.dtype)

    support = episodes.support
    return episodes._replace(
        support=support._replace(targets_BS=likes(support.targets_BS)),
        targets_BQ=likes(episodes.targets_BQ),
    )


@pytest.fixture(scope="session")
def sections() -> dict[str, Any]:
    """What :func:`make` reads of ``params.yaml``."""
    return SECTIONS


@pytest.fixture(scope="session")
def backbone() -> Backbone:
    return random_backbone()


@pytest.fixture(scope="session")
def episodes() -> Episodes:
    return random_episodes()


@pytest.fixture(scope="session")
def make_episodes() -> Callable[..., Episodes]:
    def build(head: str = "rating", **changes: Any) -> Episodes:
        made = random_episodes(**changes)
        return with_likes(made) if head == "click" else made

    return build


@pytest.fixture(scope="session")
def make() -> Make:
    """``make("maml", inner_steps=3)``: a learner away from its start, so that all parts act."""

    def build(
        name: str,
        *,
        head: str = "rating",
        dtype: torch.dtype = torch.float32,
        n_features: int = F,
        noise: float = 0.1,
        **changes: Any,
    ) -> MetaLearner[Any]:
        params: Any = check_section(name, SECTIONS[name] | changes)
        backbone = random_backbone(dtype, n_features)
        learner = ALGORITHMS[name].create(backbone, params, HEADS[head], seed=0)
        generator = torch.Generator().manual_seed(5)
        moved = {}
        for key, value in learner.theta.items():
            step = torch.randn(value.shape, generator=generator, dtype=torch.float64)
            moved[key] = value.to(dtype) + noise * step.to(dtype)
        return learner.with_theta(moved)

    return build


def along_a_direction(
    learner: MetaLearner[Any], episodes: Episodes, seed: int, *, training: bool = False
) -> tuple[float, float]:
    """The meta-gradient along a random direction, and the central difference."""
    generator = torch.Generator().manual_seed(seed)
    _, gradients = learner.meta_gradient(learner.theta, episodes)
    step = {
        name: torch.randn(value.shape, generator=generator, dtype=value.dtype)
        for name, value in learner.theta.items()
    }
    analytic = sum(float((gradients[name] * step[name]).sum()) for name in step)
    size = 1e-7  # small: a ReLU that switches between the two points would spoil the difference
    losses = []
    for sign in (1, -1):
        theta = {
            name: (value + sign * size * step[name]).requires_grad_(training)
            for name, value in learner.theta.items()
        }
        losses.append(learner.query_loss(theta, episodes, training=training).mean().item())
    return analytic, (losses[0] - losses[1]) / (2 * size)


@pytest.fixture(scope="session")
def directional() -> Callable[..., tuple[float, float]]:
    return along_a_direction


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
