"""Designs: sampling plans over subsets whose inclusion law is known."""

from estimators.designs.bernoulli import Bernoulli as Bernoulli
from estimators.designs.exhaustive import Exhaustive as Exhaustive
from estimators.designs.leave_one_out import LeaveOneOut as LeaveOneOut
from estimators.designs.making import DESIGNS as DESIGNS
from estimators.designs.making import DesignEntry as DesignEntry
from estimators.designs.making import design_entry as design_entry
from estimators.designs.making import make_design as make_design
from estimators.designs.protocol import Design as Design
from estimators.designs.uniform import Uniform as Uniform

__all__ = [
    "DESIGNS",
    "Bernoulli",
    "Design",
    "DesignEntry",
    "Exhaustive",
    "LeaveOneOut",
    "Uniform",
    "design_entry",
    "make_design",
]
