from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from coldstart.algorithms import ALGORITHMS, check_section
from coldstart.algorithms._base import MetaLearner, Theta
from coldstart.data.episodes import Episodes, EpisodeSampler
from coldstart.data.prepared import Prepared
from coldstart.errors import TrainingDiverged
from coldstart.models.backbone import Backbone
from coldstart.models.exposure import with_exposure
from coldstart.models.heads import HEADS
from coldstart.models.user_prior import unfitted
from coldstart.params import ExposureParams, LoopParams, read_yaml
from coldstart.training.checkpoint import Checkpoints
from coldstart.training.interrupt import Interrupt, on_sigterm
from coldstart.training.loop import Trained, Watch, meta_train
from coldstart.training.stopping import Validation

SECTIONS = read_yaml(Path(__file__).parents[2] / "params.yaml")["algorithms"]
LOOP = LoopParams(
    max_steps=12,
    batch_size=8,
    accumulate=1,
    precision="float32",
    query_size=5,
    max_support=6,
    eval_every=3,
    patience=3,
    clip_norm=10.0,
    checkpoint_every=2,
)


@pytest.fixture(scope="module")
def backbone(prepared: Prepared) -> Backbone:
    """Random factors and item means: enough to learn from, and quick."""
    history = prepared.history(0)
    generator = torch.Generator().manual_seed(0)
    count_N = torch.bincount(history.items_R, minlength=history.n_items).float()
    total_N = torch.zeros(history.n_items).index_add(0, history.items_R, history.targets_R)
    offset_N = total_N / (count_N + 5)
    features_ND = 0.3 * torch.randn(history.n_items, 4, generator=generator)
    features_ND[:, 0] = 1.0
    bare = Backbone(
        kind="mf",
        features_CND=features_ND.unsqueeze(0),
        offset_CN=offset_N.unsqueeze(0),
        count_CN=count_N.unsqueeze(0),
        prior_FD=torch.zeros(history.user_features_UF.shape[1], 4),
        group_U=torch.zeros(history.n_users, dtype=torch.int64),
        side_NG=history.item_features_NG,
        **unfitted(history, 4),
    )
    exposure = ExposureParams(factors=3, activity=0.5, noise=2.5, penalty=60.0)
    return with_exposure(bare, history, exposure, seed=0)


class Bench:
    """Trains on the small prepared data; anything can be put in place of a part."""

    def __init__(self, prepared: Prepared, backbone: Backbone, folder: Path) -> None:
        self.prepared, self.backbone, self.folder = prepared, backbone, folder
        self.interrupt = Interrupt()

    def learner(self, name: str) -> MetaLearner[Any]:
        params: Any = check_section(name, SECTIONS[name])
        return ALGORITHMS[name].create(self.backbone, params, HEADS["rating"], seed=0)

    def run(
        self,
        learner: MetaLearner[Any],
        loop: LoopParams = LOOP,
        folder: str = "run",
        sampler: type[EpisodeSampler] = EpisodeSampler,
        watch: Watch | None = None,
    ) -> Trained:
        generator = torch.Generator().manual_seed(3)
        return meta_train(
            learner,
            sampler(
                self.prepared.history(0),
                batch_size=loop.batch_size,
                query_size=loop.query_size,
                max_support=loop.max_support,
                group_U=self.backbone.group_U,
                generator=generator,
            ),
            generator,
            Validation(self.prepared.eval_episodes(0, "validation"), self.prepared.shots, 64),
            loop,
            what="maml fold 0 seed 0",
            checkpoints=Checkpoints(self.folder / folder),
            interrupt=self.interrupt,
            watch=watch,
        )


@pytest.fixture
def bench(prepared: Prepared, backbone: Backbone, tmp_path: Path) -> Bench:
    return Bench(prepared, backbone, tmp_path)


def _bytes(trained: Trained, folder: Path) -> tuple[bytes, Any]:
    trained.learner.to_bundle().save(folder)
    return (folder / "model.safetensors").read_bytes(), trained.history


class CutOffError(Exception):
    """Stands for a kill."""


def _cut_after(calls: int) -> type[EpisodeSampler]:
    class Sampler(EpisodeSampler):
        left = calls

        def sample(self) -> Episodes:
            Sampler.left -= 1
            if Sampler.left < 0:
                raise CutOffError
            return super().sample()

    return Sampler


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_resumed_run_ends_with_the_same_bytes(bench: Bench, tmp_path: Path, name: str) -> None:
    learner = bench.learner(name)
    whole = _bytes(bench.run(learner), tmp_path / "a")
    if learner.meta_trained:
        for calls in (3, 4):  # between two checkpoints, and right behind one
            with pytest.raises(CutOffError):
                bench.run(learner, folder="cut", sampler=_cut_after(calls))
    assert _bytes(bench.run(learner, folder="cut"), tmp_path / "b") == whole
    # a finished run is not trained again
    assert _bytes(bench.run(learner, folder="cut", sampler=_cut_after(0)), tmp_path / "c") == whole


def test_the_curve_holds_every_evaluation_and_the_best_theta_is_kept(bench: Bench) -> None:
    loop = LOOP.model_copy(update={"max_steps": 90, "eval_every": 10, "patience": 9})
    for name in ("maml", "bayes_head"):
        trained = bench.run(bench.learner(name), loop, folder=name)
        curve = [row.validation for row in trained.history]
        assert [row.step for row in trained.history] == [*range(0, 10 * len(curve), 10)]
        validation = Validation(
            bench.prepared.eval_episodes(0, "validation"), bench.prepared.shots, 64
        )
        assert validation.loss(trained.learner) == min(curve)
        in_threes = replace(validation, batch_size=3)
        assert in_threes.loss(trained.learner) == pytest.approx(min(curve), rel=1e-5)


def test_the_untrained_start_wins_if_training_only_hurts(bench: Bench) -> None:
    class Uphill(ALGORITHMS["maml"]):  # type: ignore[misc]
        def meta_gradient(self, theta: Theta, episodes: Episodes) -> tuple[torch.Tensor, Theta]:
            loss, gradients = super().meta_gradient(theta, episodes)
            return loss, {name: -gradient for name, gradient in gradients.items()}

    start = bench.learner("maml")
    learner = Uphill(start.backbone, start.params, start.head, start.theta)
    loop = LOOP.model_copy(update={"max_steps": 60, "patience": 4})
    trained = bench.run(learner, loop)
    assert len(trained.history) <= 1 + 4 + 1  # patience ended it
    for name, value in trained.learner.theta.items():
        assert torch.equal(value, learner.theta[name])


def test_the_gradient_is_clipped(bench: Bench) -> None:
    class Steep(ALGORITHMS["reptile"]):  # type: ignore[misc]
        def meta_gradient(self, theta: Theta, episodes: Episodes) -> tuple[torch.Tensor, Theta]:
            return torch.tensor(1.0), {n: torch.full_like(v, 1e6) for n, v in theta.items()}

    start = bench.learner("reptile")
    learner = Steep(start.backbone, start.params, start.head, start.theta)
    from coldstart.training.run import Run

    run = Run(learner, LOOP)
    run.advance(bench.prepared.eval_episodes(0, "validation"), "reptile")
    moved = torch.cat([(run.theta[n] - learner.theta[n]).flatten() for n in run.theta])
    expected = LOOP.clip_norm * learner.outer_rate(1, LOOP.max_steps)
    assert float(moved.norm()) == pytest.approx(expected, rel=1e-4)


def test_a_loss_that_is_not_finite_names_step_and_run(bench: Bench) -> None:
    class Poisoned(EpisodeSampler):
        drawn = 0

        def sample(self) -> Episodes:
            episodes = super().sample()
            Poisoned.drawn += 1
            if Poisoned.drawn == 3:
                return episodes._replace(targets_BQ=episodes.targets_BQ * float("nan"))
            return episodes

    with pytest.raises(TrainingDiverged, match=r"maml fold 0 seed 0: the loss is nan at step 3"):
        bench.run(bench.learner("maml"), sampler=Poisoned)


def test_a_gradient_that_is_not_finite_names_the_parameter(bench: Bench) -> None:
    class Broken(ALGORITHMS["maml"]):  # type: ignore[misc]
        def meta_gradient(self, theta: Theta, episodes: Episodes) -> tuple[torch.Tensor, Theta]:
            loss, gradients = super().meta_gradient(theta, episodes)
            return loss, gradients | {"w2_HH": gradients["w2_HH"] / 0}

    start = bench.learner("maml")
    learner = Broken(start.backbone, start.params, start.head, start.theta)
    with pytest.raises(TrainingDiverged, match=r"gradient of w2_HH is not finite at step 1"):
        bench.run(learner)


def test_a_validation_loss_that_is_not_finite_is_refused(bench: Bench) -> None:
    learner = bench.learner("maml")
    broken = learner.with_theta(learner.theta | {"b3_11": torch.full((1, 1), float("inf"))})
    with pytest.raises(TrainingDiverged, match=r"the validation loss is (inf|nan) after step 0"):
        bench.run(broken)


def test_sigterm_checkpoints_and_leaves(bench: Bench, tmp_path: Path) -> None:
    learner = bench.learner("bayes_head")
    whole = _bytes(bench.run(learner), tmp_path / "a")

    class Signalled(EpisodeSampler):
        drawn = 0

        def sample(self) -> Episodes:
            Signalled.drawn += 1
            if Signalled.drawn == 5:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().sample()

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, on_sigterm() as bench.interrupt:
        bench.run(learner, folder="ended", sampler=Signalled)
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    saved = Checkpoints(tmp_path / "ended").load()
    assert saved is not None
    assert saved[1]["step"] == 5  # the step under way was finished, and saved off schedule
    bench.interrupt = Interrupt()
    assert _bytes(bench.run(learner, folder="ended"), tmp_path / "b") == whole


def test_a_watcher_sees_every_evaluation_at_the_best_theta_so_far(bench: Bench) -> None:
    validation = Validation(bench.prepared.eval_episodes(0, "validation"), bench.prepared.shots, 64)
    seen: list[tuple[int, float]] = []

    def watch(step: int, learner: MetaLearner[Any]) -> None:
        seen.append((step, validation.loss(learner)))

    history = bench.run(bench.learner("maml"), watch=watch).history
    best = [min(row.validation for row in history[: i + 1]) for i in range(len(history))]
    assert [step for step, _ in seen] == [row.step for row in history]
    assert [loss for _, loss in seen] == best


def test_a_watcher_ends_the_training_by_raising(bench: Bench) -> None:
    class Enough(Exception):
        pass

    steps: list[int] = []

    def watch(step: int, learner: MetaLearner[Any]) -> None:
        steps.append(step)
        if step >= LOOP.eval_every:
            raise Enough

    with pytest.raises(Enough):
        bench.run(bench.learner("maml"), watch=watch)
    assert steps == [0, LOOP.eval_every]
