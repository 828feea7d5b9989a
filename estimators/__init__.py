"""Estimators: what losses of retrained subsets say about each training instance. Pure functions of arrays."""

from estimators.aggregators.blocks import aggregate as aggregate
from estimators.designs.making import make_design as make_design
from estimators.designs.protocol import Design as Design
from estimators.errors import EstimatorError as EstimatorError
from estimators.errors import ImpossibleDesign as ImpossibleDesign
from estimators.errors import MissingRows as MissingRows
from estimators.errors import UnknownName as UnknownName
from estimators.errors import WrongDesign as WrongDesign
from estimators.influence import Influence as Influence
from estimators.influence import InstanceValues as InstanceValues
from estimators.registry import ValueMethod as ValueMethod
from estimators.registry import value_method as value_method
from estimators.retrains import EndRows as EndRows
from estimators.retrains import Retrains as Retrains

__all__ = [
    "Design",
    "EndRows",
    "EstimatorError",
    "ImpossibleDesign",
    "Influence",
    "InstanceValues",
    "MissingRows",
    "Retrains",
    "UnknownName",
    "ValueMethod",
    "WrongDesign",
    "aggregate",
    "make_design",
    "value_method",
]
