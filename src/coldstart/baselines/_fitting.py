"""Fit backbones and baselines on one set of historical users."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from coldstart.baselines import BASELINES, check_params
from coldstart.data.choices import Chooser, part
from coldstart.data.episodes import History
from coldstart.models.backbone import Backbone
from coldstart.models.backbones import fit_backbone
from coldstart.models.recommender import Recommender
from coldstart.params import Params


def fit_backbones(
    history: History, validation: Chooser, params: Params, names: Iterable[str]
) -> dict[str, Backbone]:
    """By kind: the one of ``params.yaml``, and what else the baselines of these names read."""
    kinds = {_kind(name, params) for name in names} | {params.pretrain.backbone}
    return {
        kind: fit_backbone(kind, history, part(validation, kind), params.pretrain, params.seed)
        for kind in sorted(kinds)
    }


def fit_baselines(
    history: History,
    validation: Chooser,
    params: Params,
    backbones: Mapping[str, Backbone],
    names: Iterable[str],
) -> Iterator[tuple[str, Recommender]]:
    """One after another, since together they may not fit into memory.

    Raises:
        ParamsError: an unknown baseline, an unknown key or a value out of range.
    """
    sections = check_params(params)
    for name in names:
        backbone = backbones[_kind(name, params)]
        own = part(validation, name)
        yield name, BASELINES[name].fit(history, backbone, own, sections[name], params.seed)


def _kind(name: str, params: Params) -> str:
    return BASELINES[name].reads or params.pretrain.backbone
