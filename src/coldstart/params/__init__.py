"""``params.yaml``: every number of the pipeline, one section per stage.

Each field is declared, bounded and documented once. An unknown key or a value out of range
is a :class:`~coldstart.errors.ParamsError` that names the key and what is allowed. The numbers of
one algorithm or baseline are declared beside it, as its ``Params`` section; here they are raw
mappings, so that reading ``params.yaml`` (which DAG files do) loads no numerical library.
"""

from coldstart.params.data import DataParams, Feature, PrepareParams, Scale, ValidateParams
from coldstart.params.evaluation import EvaluateParams, GateParams, Goal
from coldstart.params.pretrain import (
    ChoiceParams,
    DeepFMParams,
    ExposureParams,
    MFParams,
    NetworkParams,
    PretrainParams,
    TwoTowerParams,
    UserPriorParams,
    VBPMFParams,
)
from coldstart.params.reading import load_params, parse_section, read_yaml, resolve, resolved
from coldstart.params.section import Section, Seed, Share, search
from coldstart.params.training import (
    LoopParams,
    MetaTrainParams,
    NegativesParams,
    Tuned,
    TuneParams,
)
from coldstart.params.whole import Params, TunedGroup

__all__ = [
    "ChoiceParams",
    "DataParams",
    "DeepFMParams",
    "EvaluateParams",
    "ExposureParams",
    "Feature",
    "GateParams",
    "Goal",
    "LoopParams",
    "MFParams",
    "MetaTrainParams",
    "NegativesParams",
    "NetworkParams",
    "Params",
    "PrepareParams",
    "PretrainParams",
    "Scale",
    "Section",
    "Seed",
    "Share",
    "TuneParams",
    "Tuned",
    "TunedGroup",
    "TwoTowerParams",
    "UserPriorParams",
    "VBPMFParams",
    "ValidateParams",
    "load_params",
    "parse_section",
    "read_yaml",
    "resolve",
    "resolved",
    "search",
]
