"""Designs by name: what each takes, and how one is made from a job's words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from estimators.designs.bernoulli import Bernoulli
from estimators.designs.exhaustive import MOST_PLAYERS, Exhaustive
from estimators.designs.leave_one_out import LeaveOneOut
from estimators.designs.protocol import Design
from estimators.designs.uniform import Uniform
from estimators.errors import ImpossibleDesign
from estimators.naming import entry_named

DEFAULT_FRACTION = 0.7
DEFAULT_PROBABILITY = 0.5


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a job may say about a design; None = not said."""

    size: int | None = None
    fraction: float | None = None
    probability: float | None = None

    def given(self) -> list[str]:
        """The names of those that were said."""
        return [name for name in ("size", "fraction", "probability") if getattr(self, name) is not None]


class DesignMaker(Protocol):
    """Makes the design for n players."""

    def __call__(self, n: int, seed: int, parameters: Parameters) -> Design:
        """Raises ImpossibleDesign where the parameters admit no subset."""
        ...


@dataclass(frozen=True, slots=True)
class DesignEntry:
    """A row of the table of designs. parameters: those it takes, all optional."""

    name: str
    title: str
    parameters: tuple[str, ...]
    cost: str
    make: DesignMaker


def _leave_one_out(n: int, seed: int, parameters: Parameters) -> Design:
    del seed, parameters
    return LeaveOneOut(n=n)


def _uniform(n: int, seed: int, parameters: Parameters) -> Design:
    if parameters.size is not None and parameters.fraction is not None:
        raise ImpossibleDesign(
            f"uniform with both size {parameters.size} and fraction {parameters.fraction}: give one of them"
        )
    if parameters.size is not None:
        return Uniform(n=n, size=parameters.size, seed=seed)
    fraction = DEFAULT_FRACTION if parameters.fraction is None else parameters.fraction
    if not 0.0 < fraction < 1.0:
        raise ImpossibleDesign(f"uniform with fraction {fraction}: take one above 0 and below 1")
    return Uniform(n=n, size=size_of(fraction, n), seed=seed)


def _bernoulli(n: int, seed: int, parameters: Parameters) -> Design:
    probability = DEFAULT_PROBABILITY if parameters.probability is None else parameters.probability
    return Bernoulli(n=n, probability=probability, seed=seed)


def _exhaustive(n: int, seed: int, parameters: Parameters) -> Design:
    del seed, parameters
    return Exhaustive(n=n)


def size_of(fraction: float, n: int) -> int:
    """ceil(fraction n), where a product within 1e-9 of a whole number is that number (0.07 of 100 is 7)."""
    return math.ceil(round(fraction * n, 9))


DESIGNS: Mapping[str, DesignEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            DesignEntry(
                "leave_one_out", "D without each instance in turn, beside D itself", (), "n retrains", _leave_one_out
            ),
            DesignEntry(
                "uniform",
                f"subsets of m instances, equally likely (m = `size`, or `fraction` of n; {DEFAULT_FRACTION} unsaid)",
                ("size", "fraction"),
                "as many retrains as asked",
                _uniform,
            ),
            DesignEntry(
                "bernoulli",
                f"each instance with `probability` ({DEFAULT_PROBABILITY} unsaid), independently",
                ("probability",),
                "as many retrains as asked",
                _bernoulli,
            ),
            DesignEntry("exhaustive", f"all subsets, for n up to {MOST_PLAYERS}", (), "2^n retrains", _exhaustive),
        )
    }
)


def design_entry(name: str) -> DesignEntry:
    """The design of that name; raises UnknownName with the nearest names."""
    return entry_named(name, DESIGNS, kind="design")


def make_design(
    name: str,
    *,
    n: int,
    seed: int,
    size: int | None = None,
    fraction: float | None = None,
    probability: float | None = None,
) -> Design:
    """The design of that name for n players (training instances or groups).

    size or fraction: of `uniform`, m = size or ceil(fraction n); probability: of `bernoulli`. seed: draws depend on
    it and on the design alone. Raises UnknownName, and ImpossibleDesign where the parameters admit no subset.
    """
    entry = design_entry(name)
    parameters = Parameters(size=size, fraction=fraction, probability=probability)
    foreign = [given for given in parameters.given() if given not in entry.parameters]
    if foreign:
        takes = " or ".join(entry.parameters) if entry.parameters else "no parameters"
        raise ImpossibleDesign(f"design {name} takes {takes}, not {' and '.join(foreign)}: leave it out")
    return entry.make(n, seed, parameters)
