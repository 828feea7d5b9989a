"""Designs: sampling plans over subsets whose inclusion law is known."""

from estimators.designs.bernoulli import Bernoulli as Bernoulli
from estimators.designs.bernoulli_grid import BernoulliGrid as BernoulliGrid
from estimators.designs.entry import DesignEntry as DesignEntry
from estimators.designs.exhaustive import Exhaustive as Exhaustive
from estimators.designs.from_file import SubsetsFromFile as SubsetsFromFile
from estimators.designs.kfold import KFold as KFold
from estimators.designs.leave_m_out import LeaveGroupsOut as LeaveGroupsOut
from estimators.designs.leave_one_out import LeaveOneOut as LeaveOneOut
from estimators.designs.making import DESIGNS as DESIGNS
from estimators.designs.making import design_entry as design_entry
from estimators.designs.making import design_made as design_made
from estimators.designs.making import make_design as make_design
from estimators.designs.paired import Paired as Paired
from estimators.designs.parameters import ListedSubsets as ListedSubsets
from estimators.designs.parameters import Material as Material
from estimators.designs.parameters import Parameters as Parameters
from estimators.designs.parameters import Truncation as Truncation
from estimators.designs.permutation import Permutation as Permutation
from estimators.designs.protocol import Design as Design
from estimators.designs.replicated import Replicated as Replicated
from estimators.designs.sizes import Sizes as Sizes
from estimators.designs.stratified import Stratified as Stratified
from estimators.designs.uniform import Uniform as Uniform

__all__ = [
    "DESIGNS",
    "Bernoulli",
    "BernoulliGrid",
    "Design",
    "DesignEntry",
    "Exhaustive",
    "KFold",
    "LeaveGroupsOut",
    "LeaveOneOut",
    "ListedSubsets",
    "Material",
    "Paired",
    "Parameters",
    "Permutation",
    "Replicated",
    "Sizes",
    "Stratified",
    "SubsetsFromFile",
    "Truncation",
    "Uniform",
    "design_entry",
    "design_made",
    "make_design",
]
