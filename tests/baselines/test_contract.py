"""What every baseline must do, whatever it computes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from coldstart.baselines import BASELINES, Baseline, check_params
from coldstart.baselines.vbpmf_implicit import PRIOR_USERS, VBPMFImplicit
from coldstart.data.episodes import Episodes, History, Support
from coldstart.data.prepared import Prepared
from coldstart.errors import ParamsError
from coldstart.models.backbone import Backbone
from coldstart.models.backbones import fit_backbone
from coldstart.models.bundle import Bundle
from coldstart.models.server import alone
from coldstart.params import Params, load_params, parse_section, read_yaml

PARAMS = Path(__file__).parents[2] / "params.yaml"
FIT = tuple[History, dict[str, Backbone], Episodes]


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(PARAMS)


@pytest.fixture(scope="module")
def fit_on(prepared: Prepared, params: Params) -> FIT:
    history, validation = prepared.history(0), prepared.eval_episodes(0, "validation")
    return history, _backbones(history, validation, params), validation


def _backbones(history: History, validation: Episodes, params: Params) -> dict[str, Backbone]:
    kinds = {cls.reads or params.pretrain.backbone for cls in BASELINES.values()}
    return {
        kind: fit_backbone(kind, history, validation, params.pretrain, seed=0) for kind in kinds
    }


@pytest.fixture(scope="module", params=sorted(BASELINES))
def baseline(request: pytest.FixtureRequest, fit_on: FIT, params: Params) -> Baseline:
    return _fit(request.param, fit_on, params)


@pytest.fixture(scope="module")
def episodes(prepared: Prepared) -> Episodes:
    return prepared.eval_episodes(0, "cold").rows(slice(0, 7))


def _fit(name: str, fit_on: FIT, params: Params) -> Baseline:
    history, backbones, validation = fit_on
    backbone = backbones[BASELINES[name].reads or params.pretrain.backbone]
    return BASELINES[name].fit(history, backbone, validation, check_params(params)[name], seed=3)


def _mean(baseline: Baseline, support: Support, items: torch.Tensor) -> torch.Tensor:
    return baseline.score(baseline.adapt(support), items).mean


def _padded(support: Support) -> Support:
    """Padding on both sides, with a target that must not be read."""

    def widen(values: torch.Tensor, fill: float) -> torch.Tensor:
        return torch.nn.functional.pad(values, (1, 2), value=fill)

    return support._replace(
        items_BS=widen(support.items_BS, 0),
        targets_BS=widen(support.targets_BS, 9.0),
        mask_BS=widen(support.mask_BS, False),
    )


def test_the_kind_is_the_name() -> None:
    assert {name: cls.kind for name, cls in BASELINES.items()} == {n: n for n in BASELINES}


def test_every_baseline_has_its_section_in_params(params: Params) -> None:
    assert list(check_params(params)) == list(BASELINES)


@pytest.mark.parametrize("k", [0, 1, 10])
def test_shapes_and_types(baseline: Baseline, episodes: Episodes, k: int) -> None:
    state = baseline.adapt(episodes.support.first(k))
    assert all(len(value) == 7 for value in state.values())
    mean, variance = baseline.score(state, episodes.items_BQ)
    assert mean.shape == episodes.items_BQ.shape
    assert mean.dtype == torch.float32
    assert mean.isfinite().all()
    if variance is not None:
        assert variance.shape == mean.shape
        assert variance.dtype == torch.float32
        assert (variance > 0).all()


@pytest.mark.parametrize("k", [0, 3])
def test_the_catalogue_agrees_with_single_items(
    baseline: Baseline, episodes: Episodes, k: int
) -> None:
    state = baseline.adapt(episodes.support.first(k))
    everything = torch.arange(baseline.n_items).repeat(7, 1)
    catalogue = baseline.score_catalogue(state).mean
    assert catalogue.shape == (7, baseline.n_items)
    torch.testing.assert_close(catalogue, baseline.score(state, everything).mean)


def test_the_unknown_item_may_be_rated_and_asked_for(
    baseline: Baseline, episodes: Episodes
) -> None:
    unknown = episodes.support._replace(items_BS=torch.zeros_like(episodes.support.items_BS))
    assert _mean(baseline, unknown, torch.zeros(7, 2).long()).isfinite().all()


@pytest.mark.parametrize("k", [0, 4])
def test_padding_changes_nothing(baseline: Baseline, episodes: Episodes, k: int) -> None:
    support = episodes.support.first(k)
    torch.testing.assert_close(
        _mean(baseline, _padded(support), episodes.items_BQ),
        _mean(baseline, support, episodes.items_BQ),
    )


def test_the_order_of_the_support_changes_nothing(baseline: Baseline, episodes: Episodes) -> None:
    support = episodes.support
    back = support._replace(
        items_BS=support.items_BS.flip(1),
        targets_BS=support.targets_BS.flip(1),
        mask_BS=support.mask_BS.flip(1),
    )
    torch.testing.assert_close(
        _mean(baseline, back, episodes.items_BQ), _mean(baseline, support, episodes.items_BQ)
    )


def test_one_rating_at_a_time_equals_the_batch(baseline: Baseline, episodes: Episodes) -> None:
    support = episodes.support
    state = baseline.adapt(support.first(0))
    for k in range(support.items_BS.shape[1]):
        state = baseline.update(state, support.items_BS[:, k], support.targets_BS[:, k])
        batch = baseline.adapt(support.first(k + 1))
        assert state.keys() == batch.keys()
        for key, value in batch.items():
            torch.testing.assert_close(state[key], value, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(
            baseline.score_catalogue(state).mean,
            baseline.score_catalogue(batch).mean,
            rtol=1e-4,
            atol=1e-4,
        )


@pytest.mark.parametrize("k", [0, 1, 10])
def test_a_server_says_what_the_method_says(baseline: Baseline, episodes: Episodes, k: int) -> None:
    server, support = baseline.serve(), episodes.support.first(k)
    state = baseline.adapt(support)
    ranks, (means, variances) = (
        baseline.rank_catalogue(state),
        baseline.score(state, episodes.items_BQ),
    )
    for user in range(episodes.n_users):
        own = server.adapt(*alone(support.rows(slice(user, user + 1))))
        first = server.rank(own)
        _close(first, ranks[user])
        first[:] = 0  # the caller's
        _close(server.rank(own), ranks[user])
        found = server.score(own, episodes.items_BQ[user].numpy())
        _close(found.mean_Q, means[user])
        assert (found.variance_Q is None) == (variances is None)
        if found.variance_Q is not None and variances is not None:
            _close(found.variance_Q, variances[user])


def _close(found: Any, expected: torch.Tensor) -> None:
    torch.testing.assert_close(torch.as_tensor(found).float(), expected, rtol=1e-4, atol=1e-4)


def test_calibration_takes_the_share_of_the_mean_error_that_users_outweigh_the_prior(
    fit_on: FIT, params: Params
) -> None:
    model, validation = _fit("vbpmf_implicit", fit_on, params), fit_on[2]
    assert isinstance(model, VBPMFImplicit)
    plain = replace(model, calibration_K3=torch.tensor([[0.0, 1.0, 1.0]]))
    n_users = int(validation.mask_BQ.any(1).sum())

    def error(of: VBPMFImplicit, k: int) -> tuple[float, float]:
        mean_BQ, variance_BQ = of.score(of.adapt(validation.support.first(k)), validation.items_BQ)
        assert variance_BQ is not None
        error_BQ = validation.targets_BQ - mean_BQ
        squared_BQ = error_BQ.square() / variance_BQ
        over = validation.mean_over_users
        return float(over(error_BQ)), float(over(squared_BQ))

    for k in (0, 3):
        left, ratio = error(model, k)
        expected = error(plain, k)[0] * PRIOR_USERS / (n_users + PRIOR_USERS)
        assert left == pytest.approx(expected, abs=1e-4)
        assert ratio == pytest.approx(1, abs=1e-3)


def test_deepfm_knows_attributes_and_no_ratings(fit_on: FIT, params: Params) -> None:
    """Fitted, so that a first model that reads nothing does not pass."""
    model, support = _fit("deepfm", fit_on, params), fit_on[2].support
    everything = model.score_catalogue(model.adapt(support)).mean
    assert torch.equal(model.score_catalogue(model.adapt(support.first(0))).mean, everything)
    others = support._replace(users_BF=support.users_BF.roll(1, 0))
    assert not torch.equal(model.score_catalogue(model.adapt(others)).mean, everything)


def test_a_user_alone_is_scored_as_in_a_batch(baseline: Baseline, episodes: Episodes) -> None:
    together = _mean(baseline, episodes.support, episodes.items_BQ)
    alone = _mean(baseline, episodes.support.rows(slice(2, 3)), episodes.items_BQ[2:3])
    torch.testing.assert_close(together[2:3], alone)


def test_adapting_changes_nothing_in_the_model(baseline: Baseline, episodes: Episodes) -> None:
    before = {name: value.clone() for name, value in baseline.tensors().items()}
    first = _mean(baseline, episodes.support, episodes.items_BQ)
    assert torch.equal(_mean(baseline, episodes.support, episodes.items_BQ), first)
    assert all(torch.equal(before[n], value) for n, value in baseline.tensors().items())


def test_fitting_again_gives_the_same_bytes(
    baseline: Baseline, fit_on: FIT, params: Params, tmp_path: Path
) -> None:
    baseline.to_bundle().save(tmp_path / "a")
    _fit(baseline.kind, fit_on, params).to_bundle().save(tmp_path / "b")
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_bundle_brings_back_the_same_model(
    baseline: Baseline, episodes: Episodes, tmp_path: Path
) -> None:
    baseline.to_bundle().save(tmp_path)
    back = type(baseline).from_bundle(Bundle.load(tmp_path))
    assert back.n_items == baseline.n_items
    here = baseline.score(baseline.adapt(episodes.support), episodes.items_BQ)
    there = back.score(back.adapt(episodes.support), episodes.items_BQ)
    assert torch.equal(here.mean, there.mean)
    assert (here.variance is None) == (there.variance is None)


def test_without_side_information_it_works_too(
    baseline: Baseline, fit_on: FIT, params: Params, episodes: Episodes
) -> None:
    history, _, validation = fit_on
    bare = history._replace(
        user_features_UF=torch.zeros(history.n_users, 0),
        item_features_NG=torch.zeros(history.n_items, 0),
    )
    blind = validation._replace(
        support=validation.support._replace(users_BF=torch.zeros(validation.n_users, 0))
    )
    backbones = _backbones(bare, blind, params)
    model = _fit(baseline.kind, (bare, backbones, blind), params)
    support = episodes.support._replace(users_BF=torch.zeros(7, 0))
    assert _mean(model, support.first(0), episodes.items_BQ).isfinite().all()
    assert _mean(model, support, episodes.items_BQ).isfinite().all()


def test_users_who_agree_on_everything_are_no_error(
    baseline: Baseline, fit_on: FIT, params: Params, episodes: Episodes
) -> None:
    history, backbone, validation = fit_on
    flat = history._replace(targets_R=torch.full_like(history.targets_R, 3.0))
    same = validation._replace(targets_BQ=torch.full_like(validation.targets_BQ, 3.0))
    model = _fit(baseline.kind, (flat, backbone, same), params)
    assert _mean(model, episodes.support, episodes.items_BQ).isfinite().all()


@pytest.mark.parametrize(
    ("name", "section", "message"),
    [
        ("popularty", {}, "baselines.popularty: unknown baseline; allowed here: bias, constant"),
        ("constant", {"typo": 1}, "baselines.constant: typo: unknown key"),
        ("item_mean", {"damping": 2.0}, "baselines.item_mean: damping: unknown key"),
        ("bias", {"item_damping": 0.0}, "baselines.bias: item_damping: 0.0 is not allowed"),
        ("ridge", {"bias_penalty": 1.0}, "baselines.ridge: factor_penalty: is missing"),
        ("itemknn", {"neighbours": 0}, "baselines.itemknn: neighbours: 0 is not allowed"),
    ],
)
def test_a_wrong_section_is_named(name: str, section: dict[str, object], message: str) -> None:
    raw = read_yaml(PARAMS)
    raw["baselines"][name] = section
    with pytest.raises(ParamsError) as caught:
        check_params(parse_section(Params, raw, "params.yaml"))
    assert message in str(caught.value)
