"""Designs by name: what each takes, and how one is made from a job's words."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from estimators.designs import (
    bernoulli,
    exhaustive,
    from_file,
    kfold,
    leave_m_out,
    leave_one_out,
    paired,
    permutation,
    sizes,
    stratified,
    uniform,
    walk,
)
from estimators.designs.entry import DesignEntry
from estimators.designs.parameters import Material, Parameters
from estimators.designs.protocol import Design
from estimators.designs.replicated import Replicated
from estimators.errors import ImpossibleDesign
from estimators.naming import entry_named

_MODULES = (
    leave_one_out,
    leave_m_out,
    uniform,
    stratified,
    sizes,
    bernoulli,
    paired,
    permutation,
    walk,
    kfold,
    exhaustive,
    from_file,
)

DESIGNS: Mapping[str, DesignEntry] = MappingProxyType({module.ENTRY.name: module.ENTRY for module in _MODULES})


def design_entry(name: str) -> DesignEntry:
    """The design of that name; raises UnknownName with the nearest names."""
    return entry_named(name, DESIGNS, kind="design")


def make_design(name: str, *, n: int, seed: int, material: Material | None = None, **said: Any) -> Design:
    """The design of that name for n players (training instances or groups).

    seed: draws depend on it and on the design alone. material: what some designs need of the data. said: fields of
    `Parameters`, such as size=100 or probability=(0.2, 0.8). Raises UnknownName, and ImpossibleDesign where the
    parameters admit no subset.
    """
    return design_made(name, Parameters(**said), n=n, seed=seed, material=material)


def design_made(name: str, parameters: Parameters, *, n: int, seed: int, material: Material | None = None) -> Design:
    """The same from a record of parameters."""
    entry = design_entry(name)
    foreign = [given for given in parameters.given() if given not in entry.parameters]
    if foreign:
        takes = " or ".join(entry.parameters) if entry.parameters else "no parameters"
        raise ImpossibleDesign(f"design {name} takes {takes}, not {' and '.join(foreign)}: leave it out")
    design = entry.make(n, seed, parameters, material or Material())
    times = 1 if parameters.replicates is None else parameters.replicates
    return design if times == 1 else Replicated(design, times)
