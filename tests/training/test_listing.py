"""Recall of lists by hand, and that training keeps the theta whose lists are best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from coldstart.algorithms import ALGORITHMS, check_section
from coldstart.algorithms._ranks_apart import RanksApart
from coldstart.data.episodes import Episodes, Support
from coldstart.data.prepared import Prepared
from coldstart.data.spare import spare_choices, spare_episodes
from coldstart.models.backbone import Backbone
from coldstart.models.backbones import fit_backbone
from coldstart.models.heads import HEADS
from coldstart.models.recommender import Prediction, Recommender, State
from coldstart.params import Params, parse_section, read_yaml
from coldstart.training.checkpoint import Checkpoints
from coldstart.training.fold import train
from coldstart.training.interrupt import Interrupt
from coldstart.training.listing import Lists

PARAMS = Path(__file__).parents[2] / "params.yaml"


class Ladder(Recommender):
    """Ranks the items as they lie, the last first."""

    kind = "ladder"
    n_items = 21

    def adapt(self, support: Support) -> State:
        return {"nothing_B0": torch.zeros(support.n_users, 0)}

    def score(self, state: State, items_BQ: Tensor) -> Prediction:
        return Prediction(items_BQ.float())

    def score_catalogue(self, state: State) -> Prediction:
        return Prediction(torch.arange(21.0).expand(len(state["nothing_B0"]), -1))

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_bundle(cls, bundle: object) -> Ladder:
        raise NotImplementedError


def _episodes(items_BQ: Tensor, targets_BQ: Tensor, support_BS: Tensor) -> Episodes:
    users_B = torch.arange(len(items_BQ))
    support = Support(
        support_BS,
        torch.ones(support_BS.shape),
        torch.ones_like(support_BS, dtype=torch.bool),
        torch.zeros(len(items_BQ), 0),
        torch.zeros_like(users_B),
    )
    return Episodes(support, items_BQ, targets_BQ, items_BQ > 0, users_B)


def test_recall_by_hand() -> None:
    """Lists are 20..11 less what is hidden. User 0 likes 20, 12 and 1, of which 12 is found at K=1
    too: 19 leaves for 10. User 1 likes 10 alone, in when two others are left out. User 2 likes
    nothing and is not asked."""
    episodes = _episodes(
        torch.tensor([[20, 12, 1], [10, 15, 0], [20, 19, 18]]),
        torch.tensor([[5.0, 4.0, 4.0], [4.0, 2.0, 9.0], [1.0, 1.0, 1.0]]),
        torch.tensor([[19], [14], [3]]),
    )
    left_out_BX = torch.tensor([[0, 0], [13, 0], [0, 0]])
    lists = Lists(episodes, left_out_BX, like=3.5, shots=(0, 1))
    first, second = 2 / 3, (1.0, 1.0)
    assert lists.recall(Ladder()) == pytest.approx((first + second[0] + first + second[1]) / 4)
    none = lists._replace(left_out_BX=torch.zeros_like(left_out_BX), shots=(0,))
    assert none.recall(Ladder()) == pytest.approx((first + 0) / 2)
    assert lists._replace(like=9.5).recall(Ladder()) == 0.0


@pytest.fixture(scope="module")
def params() -> Params:
    raw = read_yaml(PARAMS)
    raw["meta_train"]["loop"] |= {
        "max_steps": 12, "eval_every": 3, "batch_size": 16, "query_size": 5, "max_support": 10,
    }  # fmt: skip
    raw["prepare"] |= {"shots": [0, 1, 3, 5, 10], "query_size": 5}
    raw["algorithms"]["multitask"]["outer_rate"] = 0.005
    return parse_section(Params, raw, "params.yaml")


@pytest.fixture(scope="module")
def backbone(prepared: Prepared, params: Params) -> Backbone:
    validation = prepared.eval_episodes(0, "validation")
    return fit_backbone("vbpmf", prepared.history(0), validation, params.pretrain, seed=0)


def _train(
    params: Params, prepared: Prepared, backbone: Backbone, folder: Path, name: str = "multitask"
) -> Any:
    section: Any = check_section(name, params.algorithms[name])
    learner = ALGORITHMS[name].create(backbone, section, HEADS["rating"], seed=0)
    generator = torch.Generator().manual_seed(0)  # of so few users the closed form is not beaten
    worse = {
        n: v + 0.1 * torch.randn(v.shape, generator=generator) for n, v in learner.theta.items()
    }
    learner = learner.with_theta(worse)
    history, choices = prepared.history(0), spare_choices(prepared, 0)
    return train(learner, params, history, choices, 0, Checkpoints(folder), Interrupt())


def test_it_ranks_where_its_lists_were_best_and_predicts_where_the_loss_was(
    params: Params, prepared: Prepared, backbone: Backbone, tmp_path: Path
) -> None:
    trained = _train(params, prepared, backbone, tmp_path)
    rows = trained.history
    best = max(row.listed for row in rows)
    assert min(row.validation for row in rows) < rows[0].validation
    assert len({row.listed for row in rows}) > 1
    learner = trained.learner
    spare = spare_episodes(prepared, 0)
    judged = prepared.eval_episodes(0, "validation")
    kept_B = torch.isin(judged.users_B, spare.users_B)
    left_out_BX = torch.cat([judged.support.items_BS, judged.items_BQ], 1)[kept_B]
    lists = Lists(spare, left_out_BX, prepared.history(0).like, params.prepare.shots)
    assert lists.recall(learner) == pytest.approx(best)
    assert lists.recall(learner.with_theta(trained.listing)) == pytest.approx(best)


def test_a_learner_that_ranks_where_it_predicts_is_not_judged_by_lists(
    params: Params, prepared: Prepared, backbone: Backbone, tmp_path: Path
) -> None:
    trained = _train(params, prepared, backbone, tmp_path, name="cnp")
    assert trained.listing is None
    assert {row.listed for row in trained.history} == {None}


def test_a_run_that_was_cut_off_keeps_its_best_list(
    params: Params, prepared: Prepared, backbone: Backbone, tmp_path: Path
) -> None:
    whole = _train(params, prepared, backbone, tmp_path / "a")
    again = _train(params, prepared, backbone, tmp_path / "a")  # resumes at the end
    assert again.history == whole.history
    for name, value in whole.listing.items():
        assert torch.equal(again.listing[name], value)


@pytest.fixture(scope="module")
def apart(backbone: Backbone, params: Params) -> RanksApart[Any]:
    """multitask with two thetas that differ in everything."""
    section: Any = check_section("multitask", params.algorithms["multitask"])
    learner = ALGORITHMS["multitask"].create(backbone, section, HEADS["rating"], seed=0)
    assert isinstance(learner, RanksApart)
    generator = torch.Generator().manual_seed(1)

    def moved() -> dict[str, Tensor]:
        return {
            name: value + 0.2 * torch.randn(value.shape, generator=generator)
            for name, value in learner.theta.items()
        }

    return learner.with_theta(moved()).with_listing(moved())


def test_two_thetas_one_learner(apart: RanksApart[Any], prepared: Prepared) -> None:
    episodes = prepared.eval_episodes(0, "cold")
    support = episodes.support.first(4)
    assert apart.listing is not None
    at_theta, at_listing = apart.with_theta(apart.theta), apart.with_theta(apart.listing)
    reloaded = type(apart).from_bundle(apart.to_bundle())
    for learner in (apart, reloaded, apart.to("cpu")):
        state = learner.adapt(support)
        ranks_BN = learner.rank_catalogue(state)
        assert torch.equal(ranks_BN, at_listing.rank_catalogue(at_listing.adapt(support)))
        found = learner.score(state, episodes.items_BQ)
        assert torch.equal(
            found.mean, at_theta.score(at_theta.adapt(support), episodes.items_BQ)[0]
        )
        server, row = learner.serve(), 2
        known = server.adapt(
            support.items_BS[row].numpy(),
            support.targets_BS[row].numpy(),
            support.users_BF[row].numpy(),
        )
        torch.testing.assert_close(
            torch.from_numpy(server.rank(known))[1:], ranks_BN[row, 1:], rtol=1e-3, atol=1e-3
        )
        rated_Q = server.score(known, episodes.items_BQ[row].numpy()).mean_Q
        torch.testing.assert_close(
            torch.from_numpy(rated_Q).float(), found.mean[row], rtol=1e-3, atol=1e-3
        )
    assert not torch.equal(ranks_BN, at_theta.rank_catalogue(at_theta.adapt(support)))


def test_one_more_rating_moves_both(apart: RanksApart[Any], prepared: Prepared) -> None:
    support = prepared.eval_episodes(0, "cold").support
    state = apart.adapt(support.first(3))
    after = apart.update(state, support.items_BS[:, 3], support.targets_BS[:, 3])
    expected = apart.adapt(support.first(4))
    torch.testing.assert_close(
        apart.rank_catalogue(after), apart.rank_catalogue(expected), rtol=1e-3, atol=1e-3
    )
    torch.testing.assert_close(
        apart.score_catalogue(after).mean,
        apart.score_catalogue(expected).mean,
        rtol=1e-3,
        atol=1e-3,
    )


def test_the_same_theta_twice_is_one(apart: RanksApart[Any]) -> None:
    assert apart.with_listing(apart.theta).listing is None
