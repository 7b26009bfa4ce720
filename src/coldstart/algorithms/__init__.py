"""Meta-learners by name. Adding one is a file, a line here and a section of ``params.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coldstart.algorithms.base import MetaLearner
from coldstart.algorithms.bayes_head import BayesHead
from coldstart.algorithms.finetune import FineTune
from coldstart.algorithms.maml import FOMAML, MAML
from coldstart.algorithms.reptile import Reptile
from coldstart.errors import ParamsError
from coldstart.params import Section, parse_section

ALGORITHMS: dict[str, type[MetaLearner[Any]]] = {
    "maml": MAML,
    "fomaml": FOMAML,
    "reptile": Reptile,
    "bayes_head": BayesHead,
    "finetune": FineTune,
}


def check_params(sections: Mapping[str, Any]) -> dict[str, Section]:
    """Check the ``algorithms`` part of ``params.yaml``; the sections by name.

    Raises:
        ParamsError: names an unknown algorithm, or the key at fault, and what is allowed.
    """
    checked = {}
    for name, raw in sections.items():
        if name not in ALGORITHMS:
            allowed = ", ".join(sorted(ALGORITHMS))
            raise ParamsError(f"algorithms.{name}: unknown algorithm; allowed here: {allowed}")
        checked[name] = parse_section(ALGORITHMS[name].Params, raw, f"algorithms.{name}")
    return checked
