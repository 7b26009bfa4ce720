"""Meta-learners by name. To add one: docs/algorithms.md, "Adding an algorithm"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coldstart.algorithms._base import MetaLearner
from coldstart.algorithms.anil import ANIL
from coldstart.algorithms.bayes_head import BayesHead
from coldstart.algorithms.cnp import CNP
from coldstart.algorithms.finetune import FineTune
from coldstart.algorithms.imaml import IMAML
from coldstart.algorithms.leo import LEO
from coldstart.algorithms.maml import FOMAML, MAML
from coldstart.algorithms.melu import MeLU, MeLUPublished
from coldstart.algorithms.meta_lstm import MetaLSTM
from coldstart.algorithms.meta_sgd import MetaSGD
from coldstart.algorithms.metaprox import MetaProx
from coldstart.algorithms.mlr import MLR
from coldstart.algorithms.multitask import MultiTask
from coldstart.algorithms.proto import Proto
from coldstart.algorithms.reptile import Reptile
from coldstart.errors import ParamsError
from coldstart.params import Params, Section, parse_section

ALGORITHMS: dict[str, type[MetaLearner[Any]]] = {
    "maml": MAML,
    "fomaml": FOMAML,
    "anil": ANIL,
    "melu": MeLU,
    "melu_published": MeLUPublished,
    "meta_sgd": MetaSGD,
    "mlr": MLR,
    "reptile": Reptile,
    "meta_lstm": MetaLSTM,
    "metaprox": MetaProx,
    "imaml": IMAML,
    "leo": LEO,
    "proto": Proto,
    "cnp": CNP,
    "bayes_head": BayesHead,
    "multitask": MultiTask,
    "finetune": FineTune,
}


def check_params(params: Params) -> dict[str, Section]:
    """The checked section of each algorithm of ``params.yaml``, in its order.

    Raises:
        ParamsError: an unknown algorithm or key, or a value out of range.
    """
    return {name: check_section(name, raw) for name, raw in params.algorithms.items()}


def check_section(name: str, raw: Mapping[str, Any]) -> Section:
    """Check the section of one algorithm.

    Raises:
        ParamsError: as :func:`check_params`.
    """
    if name not in ALGORITHMS:
        allowed = ", ".join(sorted(ALGORITHMS))
        raise ParamsError(f"algorithms.{name}: unknown algorithm; allowed here: {allowed}")
    return parse_section(ALGORITHMS[name].Params, raw, f"algorithms.{name}")
